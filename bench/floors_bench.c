// floors_bench -- what the machine itself takes, printed beside wall figures:
//
//   floors_bench [DIRECTORY]
//     fdatasync p50 of appending 4 KiB, in ms; a wake-up of a sleeping thread, p50 in us
//     (half of a round trip through two eventfds); arithmetic on two threads against one
//     (2 when both cores are free, less when somebody else computes).

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/sys.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { SYNCS = 200, WAKES = 2000, SPINS = 9 };

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double median_ns(int64_t *times, size_t n)
{
    qsort(times, n, sizeof *times, compare);
    return (double)times[n / 2];
}

static double sync_ms(const char *folder)
{
    char path[4096], page[4096] = {1};
    int64_t times[SYNCS];
    int fd;
    (void)snprintf(path, sizeof path, "%s/floors-XXXXXX", folder);
    fd = mkstemp(path);
    for (int i = 0; fd >= 0 && i < SYNCS; i++) {
        int64_t t = fr_clock_mono_ns();
        if (fr_sys_write(fd, page, sizeof page, path, NULL) != FR_OK ||
            fr_sys_sync(fd, path, NULL) != FR_OK) {
            fr_sys_close(fd);
            fd = -1;
        }
        times[i] = fr_clock_mono_ns() - t;
    }
    (void)unlink(path);
    if (fd < 0) {
        return -1;
    }
    fr_sys_close(fd);
    return median_ns(times, SYNCS) * 1e-6;
}

typedef struct pair {
    int there, back;
} pair;

static void *answer(void *ctx)
{
    const pair *p = ctx;
    uint64_t n;
    for (int i = 0; i < WAKES; i++) {
        if (read(p->there, &n, sizeof n) != sizeof n || eventfd_write(p->back, 1) != 0) {
            break;
        }
    }
    return NULL;
}

static double wake_us(void)
{
    pair p = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
    static const struct timespec nap = {.tv_nsec = 50000};   // so that the other one sleeps
    int64_t times[WAKES];
    pthread_t thread;
    if (p.there < 0 || p.back < 0 || pthread_create(&thread, NULL, answer, &p) != 0) {
        return -1;
    }
    for (int i = 0; i < WAKES; i++) {
        eventfd_t n;
        (void)nanosleep(&nap, NULL);
        int64_t t = fr_clock_mono_ns();
        (void)eventfd_write(p.there, 1);
        (void)eventfd_read(p.back, &n);
        times[i] = (fr_clock_mono_ns() - t) / 2;
    }
    (void)pthread_join(thread, NULL);
    (void)close(p.there);
    (void)close(p.back);
    return median_ns(times, WAKES) * 1e-3;
}

static void *spin(void *unused)
{
    (void)unused;
    volatile double x = 0.5;
    for (int i = 0; i < 20000000; i++) {
        x = x * 1.0000001 + 1e-9;
    }
    return NULL;
}

// Twice the work on two threads against once on one: 2 when nobody else computes.
static double two_threads(void)
{
    int64_t one = INT64_MAX, two = INT64_MAX;
    for (int i = 0; i < SPINS; i++) {
        pthread_t thread;
        int64_t t = fr_clock_mono_ns();
        (void)spin(NULL);
        one = FR_MIN(one, fr_clock_mono_ns() - t);
        t = fr_clock_mono_ns();
        if (pthread_create(&thread, NULL, spin, NULL) != 0) {
            return -1;
        }
        (void)spin(NULL);
        (void)pthread_join(thread, NULL);
        two = FR_MIN(two, fr_clock_mono_ns() - t);
    }
    return 2 * (double)one / (double)two;
}

int main(int argc, char **argv)
{
    (void)printf("%.3f %.1f %.2f\n", sync_ms(argc > 1 ? argv[1] : "/tmp"), wake_us(),
                 two_threads());
    return 0;
}
