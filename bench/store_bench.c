// store_bench -- what a record costs: rows/s, CPU per row, bytes per row, fdatasync p50.
//
//   store_bench [--rows N] [--mode task|map|start|chain|read] [--flush N] [--home DIR]
//   (read: run 1 of a home that another call made)
//
// CPU and bytes say the same on any machine; the wall figure only beside the p50 of an
// fdatasync measured in the same run.

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/sys.h"
#include "core/engine/item.h"
#include "core/engine/store.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PART_ITEMS = 256, BACKLOG = 64 << 20, SYNCS = 200 };

typedef struct options {
    uint64_t rows, flush;
    const char *mode, *home;
} options;

static double cpu_s(int who)
{
    struct rusage u;
    (void)getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// p50 of appending 4 KiB and syncing, in ms.
static double sync_p50_ms(const char *home)
{
    char path[512], page[4096] = {1};
    int64_t times[SYNCS];
    int fd;
    (void)snprintf(path, sizeof path, "%s/sync", home);
    if (fr_sys_open(path, O_RDWR | O_CREAT | O_TRUNC, 0600, &fd, NULL) != FR_OK) {
        return -1;
    }
    for (int i = 0; i < SYNCS; i++) {
        int64_t t = fr_clock_mono_ns();
        if (fr_sys_write(fd, page, sizeof page, path, NULL) != FR_OK ||
            fr_sys_sync(fd, path, NULL) != FR_OK) {
            return -1;
        }
        times[i] = fr_clock_mono_ns() - t;
    }
    fr_sys_close(fd);
    (void)unlink(path);
    qsort(times, SYNCS, sizeof *times, compare);
    return (double)times[SYNCS / 2] * 1e-6;
}

static void throttle(fr_store *s)
{
    while (fr_store_backlog(s) > BACKLOG) {
        struct timespec wait = {.tv_nsec = 200000};
        (void)nanosleep(&wait, NULL);
    }
}

static fr_record task(uint64_t seq, int64_t now)
{
    return (fr_record){
        .type = FR_REC_TASK, .kind = FR_CALL_TASK, .seq = seq, .row = (uint32_t)seq,
        .key = {seq * 0x9e3779b97f4a7c15ULL, seq}, .args = {seq, ~seq * 0xc2b2ae3d27d4eb4fULL},
        .name = "bench:step", .state = FR_SUCCESS, .reason = FR_BECAUSE_RAN, .attempt = 1,
        .queued = now, .started = now + 1300, .ended = now + 2100,
    };
}

static void put_tasks(fr_store *s, fr_store_run *r, const options *o, bool starts)
{
    int64_t now = fr_clock_wall_ns();
    char label[64] = "0/step#";
    for (uint64_t seq = 1; seq <= o->rows; seq++) {
        fr_record rec = task(seq, now + (int64_t)seq * 1000);
        (void)snprintf(label + 7, sizeof label - 7, "%" PRIu64, seq);
        rec.label = label;
        if (starts) {
            fr_record start = rec;
            start.type = FR_REC_START;
            start.seq = 0;
            start.state = FR_RUNNING;
            start.ended = 0;
            fr_store_append(r, &start);
        }
        fr_value *v = fr_value_int((int64_t)seq + 1);
        rec.result = v;
        fr_store_append(r, &rec);
        fr_value_unref(v);
        if (seq % o->flush == 0) {
            fr_store_flush(s);
            throttle(s);
        }
    }
}

static void put_map(fr_store *s, fr_store_run *r, const options *o)
{
    fr_buf items;
    fr_buf_init(&items, 1 << 24);
    uint64_t seq = 0;
    for (uint64_t i = 0; i < o->rows; i += PART_ITEMS) {
        fr_buf_clear(&items);
        uint32_t n = (uint32_t)FR_MIN((uint64_t)PART_ITEMS, o->rows - i);
        for (uint32_t k = 0; k < n; k++) {
            uint8_t value[4] = {3, (uint8_t)(i | 128), (uint8_t)(i >> 7 | 128), 1};
            fr_item_done d = {.index = (uint32_t)i + k, .attempt = 1, .start_us = i * 2,
                              .duration_us = 1, .args = {i * 31 + k, k}, .value = value,
                              .size = sizeof value};
            fr_item_put(&items, &d);
        }
        fr_record rec = {.type = FR_REC_MAP_PART, .kind = FR_CALL_MAP, .seq = ++seq, .row = 1,
                         .data = items.data, .size = items.size, .items = n};
        fr_store_append(r, &rec);
        fr_store_flush(s);
        throttle(s);
    }
    fr_buf_fini(&items);
}

// Each step waits until the one before is on disk.
static void put_chain(fr_store *s, fr_store_run *r, const options *o)
{
    int64_t now = fr_clock_wall_ns();
    for (uint64_t seq = 1; seq <= o->rows; seq++) {
        fr_record rec = task(seq, now);
        fr_store_append(r, &rec);
        fr_store_flush(s);
        while (fr_store_durable(r) < seq) {
            struct timespec wait = {.tv_nsec = 5000};
            (void)nanosleep(&wait, NULL);
        }
    }
}

static int count(void *ctx, const fr_record *rec, fr_err *err)
{
    (void)err;
    *(uint64_t *)ctx += rec->type == FR_REC_MAP_PART ? rec->items : 1;
    return FR_OK;
}

static double file_bytes(const char *home, const char *name)
{
    char path[512];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", home, name);
    return stat(path, &st) == 0 ? (double)st.st_size : 0;
}

static int bench(const options *o, fr_err *err)
{
    double p50 = sync_p50_ms(o->home);
    fr_store_env env = {.home = o->home};
    fr_store *s;
    fr_store_run *r;
    int64_t t0 = fr_clock_mono_ns();
    int rc = fr_store_open(&env, &s, err);
    if (rc != FR_OK) {
        return rc;
    }
    fr_run_info info = {.flow = "bench", .file = "bench.lua"};
    rc = fr_store_run_begin(s, &info, &r, err);
    if (rc != FR_OK) {
        return rc;
    }
    double open_ms = (double)(fr_clock_mono_ns() - t0) * 1e-6;
    double cpu = cpu_s(RUSAGE_SELF), main_cpu = (double)fr_clock_thread_cpu_ns();
    t0 = fr_clock_mono_ns();
    if (strcmp(o->mode, "map") == 0) {
        put_map(s, r, o);
    } else if (strcmp(o->mode, "chain") == 0) {
        put_chain(s, r, o);
    } else {
        put_tasks(s, r, o, strcmp(o->mode, "start") == 0);
    }
    main_cpu = (double)fr_clock_thread_cpu_ns() - main_cpu;
    uint64_t id = fr_store_run_id(r), n = 0;
    fr_store_run_close(r);
    double wall = (double)(fr_clock_mono_ns() - t0) * 1e-9;
    cpu = cpu_s(RUSAGE_SELF) - cpu;
    t0 = fr_clock_mono_ns();
    rc = fr_store_records(s, id, count, &n, err);
    double scan = (double)(fr_clock_mono_ns() - t0) * 1e-9;
    if (rc == FR_OK) {
        rc = fr_store_close(s, err);
    }
    double rows = (double)o->rows;
    (void)printf("%-6s %" PRIu64 " rows: %.0f rows/s, %.3f us CPU per row (%.3f on the caller's "
                 "thread), %.1f bytes per row, open + begin %.2f ms, read %.3f s (%" PRIu64
                 " rows) | fdatasync p50 %.3f ms\n",
                 o->mode, o->rows, rows / wall, cpu / rows * 1e6, main_cpu / rows * 1e-3,
                 (file_bytes(o->home, "flowrun.db") + file_bytes(o->home, "flowrun.db-wal")) / rows,
                 open_ms, scan, n, p50);
    return rc;
}

static int bench_read(const options *o, fr_err *err)
{
    fr_store_env env = {.home = o->home, .read_only = true};
    fr_store *s;
    uint64_t n = 0;
    int rc = fr_store_open(&env, &s, err);
    if (rc != FR_OK) {
        return rc;
    }
    int64_t t0 = fr_clock_mono_ns();
    double cpu = cpu_s(RUSAGE_SELF);
    rc = fr_store_records(s, 1, count, &n, err);
    (void)printf("read   %" PRIu64 " rows: %.3f s, %.3f us CPU per row\n", n,
                 (double)(fr_clock_mono_ns() - t0) * 1e-9,
                 (cpu_s(RUSAGE_SELF) - cpu) / (double)n * 1e6);
    int close = fr_store_close(s, rc == FR_OK ? err : NULL);
    return rc == FR_OK ? close : rc;
}

int main(int argc, char **argv)
{
    options o = {.rows = 1000000, .flush = 256, .mode = "task"};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--rows") == 0) {
            o.rows = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--flush") == 0) {
            o.flush = FR_MAX(strtoull(argv[i + 1], NULL, 10), 1ULL);
        } else if (strcmp(argv[i], "--mode") == 0) {
            o.mode = argv[i + 1];
        } else if (strcmp(argv[i], "--home") == 0) {
            o.home = argv[i + 1];
        } else {
            (void)fprintf(stderr, "store_bench: unknown option %s\n", argv[i]);
            return 2;
        }
    }
    char fresh[] = "/tmp/fr-store-bench-XXXXXX";
    if (o.home == NULL) {
        o.home = mkdtemp(fresh);
    }
    fr_err err = FR_ERR_INIT;
    int rc = o.home == NULL                     ? FR_EIO
             : strcmp(o.mode, "read") == 0 ? bench_read(&o, &err)
                                           : bench(&o, &err);
    if (rc != FR_OK) {
        (void)fprintf(stderr, "store_bench: %s\n", err.text);
        return 1;
    }
    return 0;
}
