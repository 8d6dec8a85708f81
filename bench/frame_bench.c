// frame_bench -- seconds of frame kernels on data like that of the peers' benchmark: 10
// million rows, an int key of 1,000 values, a 30-bit int key, two normal columns.
//
//   frame_bench [ROWS [THREADS [CASE]]]     prints "case  least wall  least CPU" of 5
//   runs

#include "core/base/clock.h"
#include "core/base/pool.h"
#include "core/base/rand.h"
#include "core/data/compute.h"
#include "core/data/group.h"
#include "core/data/join.h"
#include "core/data/sort.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RUNS = 5 };

static fr_frame *table, *small;

static double cpu_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void must(int rc)
{
    if (rc != FR_OK) {
        (void)fprintf(stderr, "failed: %s\n", fr_err_text(rc));
        exit(1);
    }
}

static fr_array *column(fr_kind kind, int64_t n)
{
    fr_array *a;
    must(fr_array_new(fr_type_of(kind), n, 0, &a, NULL));
    return a;
}

static void make_tables(int64_t n)
{
    fr_rand r;
    fr_rand_init(&r, 1, 1);
    fr_array *cols[] = {column(FR_INT64, n), column(FR_INT64, n), column(FR_FLOAT64, n),
                        column(FR_FLOAT64, n)};
    int64_t *k = (int64_t *)(void *)cols[0]->values->data,
            *c = (int64_t *)(void *)cols[1]->values->data;
    double *a = (double *)(void *)cols[2]->values->data,
           *b = (double *)(void *)cols[3]->values->data;
    for (int64_t i = 0; i < n; i++) {
        k[i] = (int64_t)fr_rand_below(&r, 1000);
        c[i] = (int64_t)fr_rand_below(&r, 1 << 30);
        double u = sqrt(-2 * log(1 - fr_rand_unit(&r))),
               v = 6.283185307179586 * fr_rand_unit(&r);
        a[i] = u * cos(v);
        b[i] = u * sin(v);
    }
    must(fr_frame_new(4, (const char *const[]){"k", "c", "a", "b"}, cols, &table, NULL));
    fr_array *few[] = {column(FR_INT64, n / 10), column(FR_FLOAT64, n / 10)};
    for (int64_t i = 0; i < n / 10; i++) {
        ((int64_t *)(void *)few[0]->values->data)[i] = c[i * 10];
        ((double *)(void *)few[1]->values->data)[i] = fr_rand_unit(&r);
    }
    must(fr_frame_new(2, (const char *const[]){"c", "z"}, few, &small, NULL));
    for (size_t i = 0; i < 4; i++) {
        fr_array_unref(cols[i]);
    }
    fr_array_unref(few[0]);
    fr_array_unref(few[1]);
}

static void group_by(size_t key)
{
    fr_group *g;
    fr_array *out[5], *keys;
    const fr_array *by[] = {table->cols[key]}, *a = table->cols[2], *b = table->cols[3];
    fr_group_call calls[] = {{FR_OP_MEAN, a, 0},
                             {FR_OP_SUM, a, 0},
                             {FR_OP_MIN, b, 0},
                             {FR_OP_MAX, b, 0},
                             {FR_OP_STD, b, 0}};
    must(fr_group_new(by, 1, table->rows, &g, NULL));
    must(fr_group_aggregate(g, calls, 5, out, NULL));
    must(fr_group_key(g, 0, &keys, NULL));
    for (size_t i = 0; i < 5; i++) {
        fr_array_unref(out[i]);
    }
    fr_array_unref(keys);
    fr_group_free(g);
}

static void group_small(void) { group_by(0); }
static void group_large(void) { group_by(1); }

static void sort_by(size_t key)
{
    fr_frame *out;
    fr_sort_key by = {.array = table->cols[key]};
    must(fr_sort_frame(table, &by, 1, &out, NULL));
    fr_frame_unref(out);
}

static void sort_int(void) { sort_by(1); }
static void sort_float(void) { sort_by(2); }

static void join_with(fr_join_how how)
{
    fr_frame *out;
    const char *const key[] = {"c"};
    must(fr_join(table, small, (fr_join_on){key, key, 1}, how, "_right", &out, NULL));
    fr_frame_unref(out);
}

static void join_inner(void) { join_with(FR_JOIN_INNER); }
static void join_left(void) { join_with(FR_JOIN_LEFT); }

static void quantiles(void)
{
    double q[] = {.01, .99}, out[2];
    must(fr_compute_quantiles(table->cols[2], q, 2, out, NULL));
}

static void filter(void)
{
    fr_array *mask = column(FR_BOOL, table->rows);
    const double *a = fr_array_f64(table->cols[2]), *b = fr_array_f64(table->cols[3]);
    for (int64_t i = 0; i < table->rows; i += 8) {
        unsigned byte = 0;
        for (int64_t j = 0; j < FR_MIN(8, table->rows - i); j++) {
            byte |= (unsigned)((a[i + j] > -1) & (b[i + j] < 1)) << j;
        }
        mask->values->data[i >> 3] = (uint8_t)byte;
    }
    fr_frame *out;
    must(fr_compute_filter(table, mask, &out, NULL));
    fr_frame_unref(out);
    fr_array_unref(mask);
}

static void sum_mean_std(void)
{
    fr_scalar v;
    must(fr_compute_aggregate(table->cols[2], FR_OP_SUM, 0, &v, NULL));
    must(fr_compute_aggregate(table->cols[2], FR_OP_STD, 0, &v, NULL));
}

static void content_hash(void)
{
    fr_frame *fresh;
    must(fr_frame_slice(table, 1, table->rows - 1, &fresh, NULL));
    (void)fr_frame_hash(fresh);
    fr_frame_unref(fresh);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"group by int key, 5 aggregates", group_small},
    {"group by 30-bit key, 5 aggregates", group_large},
    {"sort by int", sort_int},
    {"sort by float", sort_float},
    {"inner join with a tenth", join_inner},
    {"left join with a tenth", join_left},
    {"two quantiles", quantiles},
    {"filter, 2 predicates", filter},
    {"sum and std", sum_mean_std},
    {"content hash", content_hash},
};

int main(int argc, char **argv)
{
    int64_t n = argc > 1 ? strtoll(argv[1], NULL, 10) : 10000000;
    unsigned threads = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
    (void)fr_pool_limit(threads);
    make_tables(n);
    (void)printf("%lld rows, %u threads\n", (long long)n, fr_pool_threads());
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        if (argc > 3 && strstr(cases[i].name, argv[3]) == NULL) {
            continue;
        }
        double wall = 1e9, cpu = 1e9;
        for (int run = 0; run < RUNS; run++) {
            int64_t from = fr_clock_mono_ns();
            double before = cpu_s();
            cases[i].run();
            cpu = FR_MIN(cpu, cpu_s() - before);
            wall = FR_MIN(wall, (double)(fr_clock_mono_ns() - from) * 1e-9);
        }
        (void)printf("%-36s %8.4f s wall %8.4f s CPU\n", cases[i].name, wall, cpu);
    }
    fr_frame_unref(table);
    fr_frame_unref(small);
    fr_pool_shutdown();
    return 0;
}
