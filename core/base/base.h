#pragma once
// base -- the few macros every file uses. No state, any thread.

#include <stddef.h>

#if defined(__GNUC__)
#define FR_NODISCARD    __attribute__((warn_unused_result))
#define FR_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define FR_NORETURN     __attribute__((noreturn))
#define FR_LIKELY(x)    __builtin_expect(!!(x), 1)
#define FR_UNLIKELY(x)  __builtin_expect(!!(x), 0)
#else
#define FR_NODISCARD
#define FR_PRINTF(f, a)
#define FR_NORETURN
#define FR_LIKELY(x)   (x)
#define FR_UNLIKELY(x) (x)
#endif

#define FR_COUNT(array)      (sizeof(array) / sizeof((array)[0]))
#define FR_MIN(a, b)         ((a) < (b) ? (a) : (b))
#define FR_MAX(a, b)         ((a) > (b) ? (a) : (b))
#define FR_CONTAINER(p, t, m) ((t *)(void *)((char *)(p)-offsetof(t, m)))

// Checked in release too: a broken invariant must stop the process, because a wrong
// record on disk costs more than a crash, which the next start recovers from.
#define FR_ASSERT(x)                                                                     \
    do {                                                                                 \
        if (FR_UNLIKELY(!(x))) {                                                         \
            fr_panic(__FILE__, __LINE__, #x);                                            \
        }                                                                                \
    } while (0)

FR_NORETURN void fr_panic(const char *file, int line, const char *what);
