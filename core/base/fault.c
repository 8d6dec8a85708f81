#include "core/base/fault.h"

#include "core/base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_POINTS = 16 };

static const char *const names[] = {
#define X(name) name,
    FR_FAULT_LIST(X)
#undef X
};

static const struct {
    const char *name;
    int number;
} errnos[] = {
    {"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"ENOMEM", ENOMEM},
    {"EINTR", EINTR},   {"EACCES", EACCES}, {"EROFS", EROFS},   {"EMFILE", EMFILE},
    {"EAGAIN", EAGAIN}, {"ENOENT", ENOENT}, {"ENOLCK", ENOLCK},
};

typedef struct point {
    size_t name;             // index into names
    unsigned long hit;       // which hit acts
    bool sticky;
    int error;               // 0 = a signal
    int signal;
} point;

// Set while single-threaded; afterwards only the counters change.
static struct {
    point points[MAX_POINTS];
    size_t n;
    atomic_ulong hits[FR_COUNT(names)];
} plan;

atomic_bool fr_fault_armed;

static size_t find(const char *name, size_t n)
{
    size_t i = 0;
    while (i < FR_COUNT(names) && (strlen(names[i]) != n || memcmp(names[i], name, n) != 0)) {
        i++;
    }
    return i;
}

static int parse_action(const char *text, size_t n, point *p, fr_err *err)
{
    if (n == 4 && (memcmp(text, "kill", 4) == 0 || memcmp(text, "stop", 4) == 0)) {
        p->signal = text[0] == 'k' ? SIGKILL : SIGTSTP;
        return FR_OK;
    }
    if (n > 6 && memcmp(text, "error=", 6) == 0) {
        for (size_t i = 0; i < FR_COUNT(errnos); i++) {
            if (strlen(errnos[i].name) == n - 6 &&
                memcmp(errnos[i].name, text + 6, n - 6) == 0) {
                p->error = errnos[i].number;
                return FR_OK;
            }
        }
    }
    return fr_fail(err, FR_EINVAL, "fault plan: \"%.*s\" is neither kill, stop nor error=ERRNO",
                   (int)n, text);
}

// One point: text[0 .. n)
static int parse_point(const char *text, size_t n, point *p, fr_err *err)
{
    *p = (point){.hit = 1};
    const char *equal = memchr(text, '=', n);
    size_t left = equal != NULL ? (size_t)(equal - text) : 0;
    const char *colon = memchr(text, ':', left);
    size_t name = colon != NULL ? (size_t)(colon - text) : left;
    p->name = find(text, name);
    if (p->name == FR_COUNT(names)) {
        return fr_fail(err, FR_EINVAL, "fault plan: no point is called \"%.*s\"",
                       (int)(name > 0 ? name : n), text);
    }
    if (colon != NULL) {
        char *end;
        p->hit = strtoul(colon + 1, &end, 10);
        p->sticky = *end == '+';
        if (p->hit == 0 || end + p->sticky != equal) {
            return fr_fail(err, FR_EINVAL, "fault plan: \"%.*s\": N must be 1, 2, …", (int)n,
                           text);
        }
    }
    return parse_action(equal + 1, n - left - 1, p, err);
}

int fr_fault_set(const char *text, fr_err *err)
{
    atomic_store(&fr_fault_armed, false);
    plan.n = 0;
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        atomic_store(&plan.hits[i], 0);
    }
    if (text == NULL || *text == '\0') {
        return FR_OK;
    }
    size_t n = 0;
    for (const char *at = text; at != NULL;) {
        const char *comma = strchr(at, ',');
        size_t size = comma != NULL ? (size_t)(comma - at) : strlen(at);
        if (n == MAX_POINTS) {
            return fr_fail(err, FR_ELIMIT, "fault plan: more than %d points", MAX_POINTS);
        }
        int rc = parse_point(at, size, &plan.points[n], err);
        if (rc != FR_OK) {
            return rc;
        }
        n++;
        at = comma != NULL ? comma + 1 : NULL;
    }
    plan.n = n;
    atomic_store(&fr_fault_armed, true);
    return FR_OK;
}

int fr_fault_hit(const char *name)
{
    size_t at = find(name, strlen(name));
    FR_ASSERT(at < FR_COUNT(names));             // a point that is not in the list
    unsigned long hit = atomic_fetch_add(&plan.hits[at], 1) + 1;
    for (size_t i = 0; i < plan.n; i++) {
        const point *p = &plan.points[i];
        if (p->name != at || !(hit == p->hit || (p->sticky && hit > p->hit))) {
            continue;
        }
        if (p->error != 0) {
            return p->error;
        }
        (void)kill(getpid(), p->signal);
        while (p->signal == SIGKILL) {
            (void)pause();
        }
    }
    return 0;
}

const char *const *fr_fault_names(size_t *n)
{
    *n = FR_COUNT(names);
    return names;
}

unsigned long fr_fault_hits(const char *name)
{
    size_t at = find(name, strlen(name));
    return at < FR_COUNT(names) ? atomic_load(&plan.hits[at]) : 0;
}
