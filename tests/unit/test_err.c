#include "core/base/err.h"
#include "tests/unit/check.h"

#include <errno.h>

static void codes_and_names_are_inverse(void)
{
#define X(id, number, name, text)                                                        \
    CHECK_STR(fr_err_name(FR_##id), name);                                               \
    CHECK_INT(fr_err_from_name(name), number);                                           \
    CHECK_STR(fr_err_text(number), text);
    FR_ERR_LIST(X)
#undef X
    CHECK_INT(fr_err_from_name("nonsense"), -1);
    CHECK_STR(fr_err_name(999), "unknown");
}

static void fail_sets_code_and_text(void)
{
    fr_err e = FR_ERR_INIT;
    CHECK_INT(fr_fail(&e, FR_EPARSE, "line %d: %s", 12, "expected a number"), FR_EPARSE);
    CHECK_INT(e.code, FR_EPARSE);
    CHECK_STR(e.text, "line 12: expected a number");
    CHECK_INT(fr_fail(NULL, FR_EIO, "nobody listens"), FR_EIO);
}

static void wrap_puts_context_in_front(void)
{
    fr_err e = FR_ERR_INIT;
    (void)fr_fail(&e, FR_EPARSE, "line 12");
    CHECK_INT(fr_wrap(&e, FR_EPARSE, "reading %s", "a.csv"), FR_EPARSE);
    CHECK_STR(e.text, "reading a.csv: line 12");
    CHECK_INT(fr_wrap(NULL, FR_EIO, "nobody listens"), FR_EIO);
}

static void errno_is_explained_and_full_disks_are_told_apart(void)
{
    fr_err e = FR_ERR_INIT;
    errno = ENOENT;
    CHECK_INT(fr_fail_errno(&e, FR_EIO, "opening %s", "x"), FR_EIO);
    CHECK_STR(e.text, "opening x: No such file or directory");
    errno = ENOSPC;
    CHECK_INT(fr_fail_errno(&e, FR_EIO, "writing"), FR_EFULL);
    CHECK_INT(e.code, FR_EFULL);
    errno = EDQUOT;
    CHECK_INT(fr_fail_errno(NULL, FR_EIO, "writing"), FR_EFULL);
}

static void long_texts_are_cut_with_dots(void)
{
    char many[2 * FR_ERR_MAX];
    memset(many, 'x', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    fr_err e = FR_ERR_INIT;
    (void)fr_fail(&e, FR_EIO, "%s", many);
    CHECK_INT(strlen(e.text), FR_ERR_MAX - 1);
    CHECK_STR(e.text + FR_ERR_MAX - 4, "...");
    (void)fr_wrap(&e, FR_EIO, "context");
    CHECK_INT(strlen(e.text), FR_ERR_MAX - 1);
    CHECK(strncmp(e.text, "context: xxx", 12) == 0);
    CHECK_STR(e.text + FR_ERR_MAX - 4, "...");
    (void)fr_fail(&e, FR_EIO, "short");
    (void)fr_wrap(&e, FR_EIO, "%s", many);
    CHECK_STR(e.text + FR_ERR_MAX - 4, "...");
}

int main(void)
{
    CASE(codes_and_names_are_inverse);
    CASE(fail_sets_code_and_text);
    CASE(wrap_puts_context_in_front);
    CASE(errno_is_explained_and_full_disks_are_told_apart);
    CASE(long_texts_are_cut_with_dots);
    return check_end();
}
