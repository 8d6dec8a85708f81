#include "tests/unit/store_util.h"

static void records_come_back_in_log_order(void)
{
    home h;
    home_init(&h);
    fr_store *s = home_open(&h);
    fr_store_run *r = home_begin(s);
    uint64_t id = fr_store_run_id(r);
    CHECK_INT(id, 1);
    for (uint64_t seq = 1; seq <= 9000; seq++) {
        append_task(r, seq);
        if (seq % 100 == 0) {
            fr_store_flush(s);
        }
    }
    fr_store_run_close(r);
    CHECK_INT(atomic_load(&h.durable), 9000);
    counted c = {0};
    fr_err err = FR_ERR_INIT;
    CHECK_INT(fr_store_records(s, id, count_tasks, &c, &err), FR_OK);
    CHECK_STR(err.text, "");
    CHECK_INT(c.n, 9000);
    CHECK_INT(c.wrong, 0);
    CHECK_INT(fr_store_backlog(s), 0);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);

    s = home_open(&h);                         // another process, later
    CHECK_INT(fr_store_run_resume(s, id, &r, &err), FR_OK);
    CHECK_INT(fr_store_durable(r), 9000);
    append_task(r, 9001);
    fr_store_run_close(r);
    c = (counted){0};
    CHECK_INT(fr_store_records(s, id, count_tasks, &c, &err), FR_OK);
    CHECK_INT(c.n, 9001);
    CHECK_INT(c.wrong, 0);
    CHECK_INT(fr_store_close(s, NULL), FR_OK);
    CHECK_INT(atomic_load(&h.troubles), 0);
    home_fini(&h);
}

int main(void)
{
    CASE(records_come_back_in_log_order);
    return check_end();
}
