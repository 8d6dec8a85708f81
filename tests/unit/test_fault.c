#include "core/base/fault.h"
#include "tests/unit/check.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int sync_before(void)
{
    return FR_FAULT("sys.sync.before");
}

static void nothing_happens_without_a_plan(void)
{
    CHECK_INT(fr_fault_set(NULL, NULL), FR_OK);
    CHECK_INT(sync_before(), 0);
    CHECK_INT(fr_fault_hits("sys.sync.before"), 0);
}

static void the_nth_hit_fails_once(void)
{
    CHECK_INT(fr_fault_set("sys.sync.before:2=error=ENOSPC", NULL), FR_OK);
    CHECK_INT(sync_before(), 0);
    CHECK_INT(FR_FAULT("sys.sync.after"), 0);
    CHECK_INT(sync_before(), ENOSPC);
    CHECK_INT(sync_before(), 0);
    CHECK_INT(fr_fault_hits("sys.sync.before"), 3);
}

static void a_plus_makes_it_stick(void)
{
    CHECK_INT(fr_fault_set("sys.write.after=error=EIO,sys.sync.before:2+=error=EIO", NULL),
              FR_OK);
    CHECK_INT(sync_before(), 0);
    CHECK_INT(sync_before(), EIO);
    CHECK_INT(sync_before(), EIO);
    CHECK_INT(FR_FAULT("sys.write.after"), EIO);
    CHECK_INT(FR_FAULT("sys.write.after"), 0);
}

static void wrong_plans_are_refused_and_disarm(void)
{
    static const char *const wrong[] = {"sys.sync=kill", "sys.sync.before", "sys.sync.before=",
                                        "sys.sync.before:0=kill", "sys.sync.before:x=kill",
                                        "sys.sync.before=error=EWHAT", "=kill", ",",
                                        "sys.sync.before:1++=kill"};
    for (size_t i = 0; i < FR_COUNT(wrong); i++) {
        fr_err err = FR_ERR_INIT;
        CHECK_INT(fr_fault_set(wrong[i], &err), FR_EINVAL);
        CHECK(strstr(err.text, "fault plan") != NULL);
        CHECK_INT(sync_before(), 0);
    }
}

static void kill_is_a_sigkill(void)
{
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (fr_fault_set("sys.sync.before:3=kill", NULL) == FR_OK) {
            for (int i = 0; i < 3; i++) {
                (void)sync_before();
            }
        }
        _exit(0);
    }
    int status = 0;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void stop_is_a_sigtstp_and_goes_on(void)
{
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)setpgid(0, 0);                       // not an orphaned group: it may be stopped
        int rc = fr_fault_set("sys.sync.before=stop", NULL);
        _exit(rc == FR_OK && sync_before() == 0 ? 7 : 1);
    }
    int status = 0;
    CHECK_INT(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
    CHECK_INT(kill(child, SIGCONT), 0);
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void every_name_is_listed_once(void)
{
    size_t n;
    const char *const *names = fr_fault_names(&n);
    CHECK(n > 20);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) {
            CHECK(strcmp(names[i], names[k]) != 0);
        }
    }
}

int main(void)
{
    CASE(nothing_happens_without_a_plan);
    CASE(the_nth_hit_fails_once);
    CASE(a_plus_makes_it_stick);
    CASE(wrong_plans_are_refused_and_disarm);
    CASE(kill_is_a_sigkill);
    CASE(stop_is_a_sigtstp_and_goes_on);
    CASE(every_name_is_listed_once);
    return check_end();
}
