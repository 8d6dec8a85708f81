#pragma once
// store_sqlite -- one SQLite connection of the store: schema, statements, transactions.
// Private to store*.c. A connection is used by one thread at a time.

#include "core/engine/store_priv.h"

struct sqlite3;
struct sqlite3_stmt;

// X(name, SQL). Prepared at first use and kept.
#define FR_SQL_LIST(X)                                                                   \
    X(BEGIN, "BEGIN IMMEDIATE")                                                          \
    X(BEGIN_READ, "BEGIN")                                                               \
    X(COMMIT, "COMMIT")                                                                  \
    X(SAVEPOINT, "SAVEPOINT job")                                                        \
    X(SAVEPOINT_BACK, "ROLLBACK TO job")                                                 \
    X(SAVEPOINT_END, "RELEASE job")                                                      \
    X(TASK, "INSERT INTO task VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)")                   \
    X(RUNNING, "INSERT OR REPLACE INTO running VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)")  \
    X(JOURNAL, "INSERT INTO journal VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)") \
    X(MAP_PART, "INSERT INTO map_part VALUES(?1,?2,?3,?4,?5,?6)")                        \
    X(NOT_RUNNING, "DELETE FROM running WHERE id=?1")                                    \
    X(NONE_RUNNING, "DELETE FROM running WHERE id BETWEEN ?1 AND ?2")                    \
    X(RUNNING_IDS, "SELECT id FROM running WHERE id BETWEEN ?1 AND ?2")                  \
    X(NAME_ID, "SELECT id FROM name WHERE text=?1")                                      \
    X(NAME_PUT, "INSERT INTO name(text) VALUES(?1)")                                     \
    X(NAME_TEXT, "SELECT text FROM name WHERE id=?1")                                    \
    X(RUN_PUT, "INSERT INTO run(flow,file,bundle,params,seed,state,reason,attempt,started," \
               "options) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)")                        \
    X(RUN_SET, "UPDATE run SET state=?2,reason=?3,attempt=coalesce(?4,attempt),"         \
               "started=coalesce(?5,started),ended=?6,result=?7,error=?8,records=?9 "    \
               "WHERE id=?1")                                                            \
    X(RUN_AGAIN, "UPDATE run SET state=?2,reason=?3,attempt=attempt+1,ended=NULL,"       \
                 "result=NULL,error=NULL,records=NULL WHERE id=?1")                      \
    X(RUN_RECORDS, "SELECT records FROM run WHERE id=?1")                                \
    X(RUN_IS, "SELECT 1 FROM run WHERE id=?1")                                           \
    X(SEAL, "INSERT INTO seal VALUES(?1,?2)")                                            \
    X(SEAL_GET, "SELECT hash FROM seal WHERE id=?1")                                     \
    X(ANCHORS, "SELECT run,seq,chain,head FROM anchor ORDER BY id")                      \
    X(CHAIN_LAST, "SELECT hash FROM seal WHERE id BETWEEN ?1 AND ?2 "                    \
                  "ORDER BY id DESC LIMIT 1")                                            \
    X(RUNS, "SELECT id,flow,file,bundle,params,seed,state,reason,attempt,started,ended," \
            "result,error,options FROM run WHERE ?1=0 OR id=?1 ORDER BY id DESC LIMIT ?2") \
    X(LAST_SEQ, "SELECT max((SELECT ifnull(max(id),0) FROM task WHERE id BETWEEN ?1 AND ?2),"      \
                "(SELECT ifnull(max(id),0) FROM journal WHERE id BETWEEN ?1 AND ?2),"    \
                "(SELECT ifnull(max(id),0) FROM map_part WHERE id BETWEEN ?1 AND ?2))")  \
    X(ANCHOR_LAST, "SELECT head FROM anchor ORDER BY id DESC LIMIT 1")                   \
    X(ANCHOR_PUT, "INSERT INTO anchor(run,seq,at,chain,head) VALUES(?1,?2,?3,?4,?5)")    \
    X(CACHE_PUT, "INSERT OR REPLACE INTO cache VALUES(NULL,?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)") \
    X(CACHE_FIND, "SELECT record,item,what,at,sum FROM cache WHERE key=?1 AND hi=?2 "    \
                  "ORDER BY id DESC LIMIT 1")                                            \
    X(CACHE_OF_RUN, "SELECT record,item,what,text,origin,at,parts FROM cache "           \
                    "JOIN name ON name.id=cache.name WHERE record BETWEEN ?1 AND ?2 "    \
                    "ORDER BY record,item LIMIT ?3")                                     \
    X(CACHE_OF_TASK, "SELECT record,item,what,?1,origin,at,parts FROM cache WHERE "      \
                     "name=(SELECT id FROM name WHERE text=?1) AND record<?2 "           \
                     "ORDER BY record DESC LIMIT ?3")                                    \
    X(BLOB_PUT, "INSERT OR IGNORE INTO blob(id,key,bytes) VALUES(?1,?2,?3)")             \
    X(BLOB_GET, "SELECT bytes FROM blob WHERE id=?1 AND key=?2")                         \
    X(REQUEST_PUT, "INSERT INTO request(run,kind,payload,at) VALUES(?1,?2,?3,?4)")       \
    X(REQUEST_TAKEN, "UPDATE request SET taken=1 WHERE id=?1")                           \
    X(REQUESTS_TAKEN, "UPDATE request SET taken=1 WHERE run=?1 AND id<=?2 AND taken=0")  \
    X(REQUESTS, "SELECT id,kind,payload FROM request WHERE run=?1 AND id>?2 AND taken=0 "\
                "ORDER BY id")                                                           \
    X(TASKS, "SELECT id,row,name,what,queued,wait,took,ids,result,extra FROM task "      \
             "WHERE id BETWEEN ?1 AND ?2 ORDER BY id")                                   \
    X(JOURNALS, "SELECT id,row,name,what,queued,wait,took,ids,result,extra,type,due,data " \
                "FROM journal WHERE id BETWEEN ?1 AND ?2 ORDER BY id")                   \
    X(MAP_PARTS, "SELECT id,row,n,how,sum,items FROM map_part WHERE id BETWEEN ?1 AND ?2 " \
                 "ORDER BY id")                                                          \
    X(RUNNINGS, "SELECT id,row,name,what,queued,wait,took,ids,result,extra FROM running "\
                "WHERE id BETWEEN ?1 AND ?2 ORDER BY id")                                \
    X(EXTRAS, "SELECT id,result,extra FROM task WHERE id>?1 AND extra IS NOT NULL "      \
              "ORDER BY id")                                                             \
    X(JOURNAL_EXTRAS, "SELECT id,result,extra FROM journal WHERE id>?1 AND extra IS NOT NULL " \
                      "ORDER BY id")                                                     \
    X(PART_OBJECTS, "SELECT id,items FROM map_part WHERE id>?1 AND how<>0 ORDER BY id")  \
    X(RUN_VALUES, "SELECT id,params,result,error FROM run WHERE id>?1 ORDER BY id")      \
    X(LIMIT_ID, "SELECT id FROM limits WHERE name=?1")                                   \
    X(LIMIT_PUT, "INSERT INTO limits(name,source) VALUES(?1,0)")                         \
    X(LIMIT_GET, "SELECT id,name,capacity,rate,period,source,starts,"                    \
                 "(SELECT ifnull(sum(n),0) FROM slot WHERE lim=?1 AND granted>0),0 "     \
                 "FROM limits WHERE id=?1")                                              \
    X(LIMIT_SET, "UPDATE limits SET capacity=?2,rate=?3,period=?4,source=?5 WHERE id=?1")  \
    X(LIMIT_RATE, "UPDATE limits SET rate=?2,period=?3,source=1 WHERE id=?1 AND source<2 "  \
                  "AND (rate IS NOT ?2 OR period IS NOT ?3)")                            \
    X(LIMIT_STARTS, "UPDATE limits SET starts=?2 WHERE id=?1")                           \
    X(LIMIT_DROP, "DELETE FROM limits WHERE id=?1 AND "                                  \
                  "NOT EXISTS(SELECT 1 FROM slot WHERE lim=?1)")                         \
    X(LIMITS, "SELECT id,name,capacity,rate,period,source,starts,"                       \
              "(SELECT ifnull(sum(n),0) FROM slot WHERE lim=limits.id AND granted>0),"   \
              "(SELECT count(*) FROM slot WHERE lim=limits.id AND granted=0) "           \
              "FROM limits ORDER BY name")                                               \
    X(SLOT_PUT, "INSERT OR IGNORE INTO slot(lim,run,ask,row,name,n,priority,since,rank,granted) "  \
                "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,0)")                                  \
    X(SLOT_NEXT, "SELECT id,run,ask,n,rank FROM slot WHERE lim=?1 AND granted=0 AND "    \
                 "(rank,id)>(?2,?3) ORDER BY rank,id LIMIT 1")                           \
    X(SLOT_OF, "SELECT id,lim,n,rank FROM slot WHERE run=?1 AND ask=?2 ORDER BY lim")    \
    X(SLOT_GRANT, "UPDATE slot SET granted=?3 WHERE run=?1 AND ask=?2")                  \
    X(SLOT_REFUSE, "UPDATE slot SET granted=-2 WHERE id=?1")                             \
    X(SLOT_END, "DELETE FROM slot WHERE run=?1 AND ask=?2 RETURNING lim")                \
    X(SLOTS_END, "DELETE FROM slot WHERE run=?1 RETURNING lim")                          \
    X(SLOT_HOLDER, "SELECT min(run) FROM slot WHERE lim=?1 AND granted>0 AND run>?2")    \
    X(SLOT_WAITED, "SELECT DISTINCT lim FROM slot WHERE granted=0")                      \
    X(SLOT_WAITERS, "SELECT DISTINCT run FROM slot WHERE granted=0 AND run<>?1")         \
    X(SLOT_NEWS, "SELECT ask,granted,lim,n FROM slot WHERE run=?1 AND granted<>0")       \
    X(SLOT_LIST, "SELECT limits.name,run,row,slot.name,n,priority,since,granted,ask "    \
                 "FROM slot JOIN limits ON limits.id=lim "                               \
                 "ORDER BY limits.name,granted=0,rank,slot.id LIMIT ?1")                 \
    X(SLOT_JOIN, "INSERT OR IGNORE INTO slot_run(run) VALUES(?1)")                       \
    X(SLOT_LEAVE, "DELETE FROM slot_run WHERE run=?1")                                   \
    X(SLOT_RUNS, "SELECT run FROM slot_run WHERE run<>?1 ORDER BY run")                  \
    X(OUTBOX_PUT, "INSERT INTO outbox(record,n,owner,task,name,key,message,state,attempts,due,"  \
                  "made,changed) VALUES(?1,?2,?3,?4,?5,?6,?7,0,0,0,?8,?8)")              \
    X(OUTBOX_SET, "UPDATE outbox SET state=?2,attempts=?3,due=?4,changed=?5,error=?6 "   \
                  "WHERE id=?1 AND owner=?7 AND state=0")                                \
    X(OUTBOX_ANY, "SELECT 1 FROM outbox WHERE state=0 LIMIT 1")                          \
    X(OUTBOX_OWNER, "SELECT min(owner) FROM outbox WHERE state=0 AND owner>?1")          \
    X(OUTBOX_ADOPT, "UPDATE outbox SET owner=?1 WHERE owner=?2 AND state=0 AND (task=?3 " \
                    "OR (SELECT flow FROM run WHERE id=record>>32)="                     \
                    "(SELECT flow FROM run WHERE id=?1))")                               \
    X(OUTBOX_DUE, "SELECT id,record,n,owner,task,name,key,message,state,attempts,due,made," \
                  "changed,error FROM outbox WHERE owner=?1 AND state=0 AND due<=?2 "    \
                  "ORDER BY due,id LIMIT ?3")                                            \
    X(OUTBOX_NEXT, "SELECT min(due) FROM outbox WHERE owner=?1 AND state=0 AND due>?2")  \
    X(OUTBOX_LIST, "SELECT id,record,n,owner,task,name,key,message,state,attempts,due,made," \
                   "changed,error FROM outbox WHERE (?1=0 OR record BETWEEN ?1<<32 AND " \
                   "(?1<<32)+0xffffffff) AND (?2=0 OR id=?2) AND (1<<state)&?3 "         \
                   "ORDER BY id LIMIT ?4")                                               \
    X(OUTBOX_AGAIN, "UPDATE outbox SET state=0,attempts=0,due=0,changed=?2 "             \
                    "WHERE id=?1 AND state IN(0,2,3)")                                   \
    X(OUTBOX_DROP, "UPDATE outbox SET state=3,changed=?2 WHERE id=?1 AND state IN(0,2)") \
    X(OUTBOX_NOW, "UPDATE outbox SET due=0 WHERE state=0 AND ?1=0 AND ?2>0")             \
    X(COUNTS, "SELECT (SELECT count(*) FROM run),(SELECT count(*) FROM task),"           \
              "(SELECT count(*) FROM journal),(SELECT count(*) FROM map_part),"          \
              "(SELECT count(*) FROM running),(SELECT count(*) FROM request WHERE taken=0)")

typedef enum fr_sql {
#define X(name, sql) FR_SQL_##name,
    FR_SQL_LIST(X)
#undef X
    FR_SQL_COUNT
} fr_sql;

struct fr_db {
    struct sqlite3 *handle;
    struct sqlite3_stmt *statements[FR_SQL_COUNT];
    char *path;                                // for messages
    int wal_pages;                             // in the WAL: read by whoever opens it first
    int wal_new;                               // of them not checkpointed, roughly
    char **names;                              // reader: id -> text
    size_t n_names;
};

// Opens the database of a home. `look_up`: query only, never checkpoints, FR_ENOTFOUND when
// absent. Else it is made or brought up to date under `locks`.
FR_NODISCARD int fr_db_open(const fr_store *s, bool look_up, fr_db **out, fr_err *err);
void fr_db_close(fr_db *db);
FR_NODISCARD int fr_db_begin(fr_db *db, fr_err *err);
FR_NODISCARD int fr_db_commit(fr_db *db, fr_err *err);
void fr_db_rollback(fr_db *db);                // certain: closes the transaction or the process
FR_NODISCARD int fr_db_checkpoint(fr_db *db, bool truncate, fr_err *err);
// NULL with err set when it cannot be prepared.
struct sqlite3_stmt *fr_db_statement(fr_db *db, fr_sql which, fr_err *err);
// Steps a statement that returns no rows, and resets it.
FR_NODISCARD int fr_db_step(fr_db *db, struct sqlite3_stmt *st, fr_err *err);
FR_NODISCARD int fr_db_run(fr_db *db, fr_sql which, fr_err *err);
// Code and message of an SQLite result; *fatal* ones are listed at the definition.
int fr_db_fail(fr_db *db, int rc, fr_err *err);

// --- looking up (store_sqlite_read.c), on the engine's thread ---
FR_NODISCARD int fr_read_open(fr_store *s, fr_err *err);       // the second connection
FR_NODISCARD int fr_read_begin(fr_store *s, fr_err *err);      // a snapshot, for 1 s at most
void fr_read_end(fr_store *s);
// Each row of a run's log as it is stored, in log order. *ended: the run says so.
enum { FR_TABLE_TASK, FR_TABLE_JOURNAL, FR_TABLE_MAP_PART, FR_TABLES };
typedef int (*fr_raw_fn)(void *ctx, int table, struct sqlite3_stmt *st, fr_err *err);
FR_NODISCARD int fr_read_raw(fr_store *s, uint64_t run, fr_raw_fn fn, void *ctx, bool *ended,
                             fr_err *err);
// Objects loaded during one look-up, so that each file is opened once. Zero but for `store`
// at first (store_sqlite_value.c).
typedef struct fr_loader {
    fr_store *store;
    fr_map known;                              // hash and kind -> index + 1
    fr_object **objects;
    size_t n, room;
    fr_object **found;                         // of the value being read
    uint32_t n_found, found_room;
    int rc;
    fr_err err;
} fr_loader;
// A stored value: bytes, or the hash that names its file.
FR_NODISCARD int fr_loader_value(fr_loader *l, const uint8_t *bytes, size_t n, uint8_t how,
                                 fr_value **out, fr_err *err);
void fr_loader_fini(fr_loader *l);
FR_NODISCARD int fr_read_file(const char *path, size_t max, fr_buf *out, fr_err *err);

// The result that a record (with item > 0: an item in it) of `task` has. FR_ENOTFOUND: no record.
FR_NODISCARD int fr_read_result(fr_loader *l, int64_t record, uint32_t item, const char *task,
                                fr_value **out, fr_err *err);

// --- writing (store_sqlite_write.c), on the thread, inside a transaction ---
FR_NODISCARD int fr_write_entry(fr_store *s, const fr_queued *q, size_t offset, fr_err *err);
// The end of a batch: STARTs that nothing followed, and the seals of the runs' records.
FR_NODISCARD int fr_write_end(fr_store *s, fr_err *err);
void fr_write_committed(fr_store *s);                          // the batch is on disk
FR_NODISCARD int fr_write_reload(fr_store *s, fr_err *err);    // it is not: what is?
FR_NODISCARD int fr_write_run_begin(fr_store *s, const fr_run_info *info, fr_store_run *r,
                                    fr_err *err);
FR_NODISCARD int fr_write_run_resume(fr_store *s, fr_store_run *r, fr_err *err);
FR_NODISCARD int fr_write_request(fr_store *s, uint64_t run, const char *kind, const char *json,
                                  fr_err *err);

// --- limits (store_sqlite_limit.c), on the thread, inside a transaction ---
FR_NODISCARD int fr_slot_write(fr_store *s, const fr_queued *q, fr_err *err);
FR_NODISCARD int fr_slot_release(fr_store *s, uint64_t run, uint32_t ask, fr_err *err);
// All of a run's, which ends or is resumed.
FR_NODISCARD int fr_slot_forget(fr_store *s, uint64_t run, fr_err *err);
void fr_slot_begin(fr_store *s);                               // of a batch
FR_NODISCARD int fr_slot_settle(fr_store *s, fr_err *err);     // what the batch changed
void fr_slot_tell(fr_store *s);                                // committed: wakes other runs
void fr_slot_fini(fr_store *s);

// --- messages (store_sqlite_outbox.c), on the thread, inside a transaction ---
FR_NODISCARD int fr_outbox_insert(fr_store *s, const fr_queued *q, fr_err *err);
FR_NODISCARD int fr_outbox_write(fr_store *s, const fr_queued *q, fr_err *err);
FR_NODISCARD int fr_outbox_begin(fr_store *s, fr_store_run *r, fr_err *err);   // of a run
FR_NODISCARD int fr_write_kept(fr_store *s, const fr_queued *q, uint64_t name, fr_err *err);

// --- how rows are packed; used by both sides ---
enum {
    FR_X_LABEL_N = 1,        // varint n, varint size, branch: branch/short#n
    FR_X_LABEL = 2,          // varint size, text
    FR_X_LOG = 4,            // varint from, varint size
    FR_X_RESULT_FILE = 8,    // the result column is the hash of a value file
    FR_X_RESULT_OBJECTS = 16,
    FR_X_ERROR = 32,         // varint size, packed value (or 16 bytes: FR_X_ERROR_FILE)
    FR_X_OUTPUTS = 64,       // varint n, n hashes
    FR_X_ITEMS = 128,        // varint items, varint failed
    FR_X_ERROR_FILE = 256,
    FR_X_ERROR_OBJECTS = 512,
    FR_X_PARENT = 1024,      // varint row of the subflow
};
typedef struct fr_extra {
    uint32_t flags;
    uint64_t number;                           // LABEL_N
    const uint8_t *label, *error, *outputs;
    size_t label_size, error_size, n_outputs;  // label: the branch when LABEL_N
    uint64_t log_from, log_to, items, failed_items, parent;
    uint8_t result_how, error_how;             // FR_STORED_*
} fr_extra;
bool fr_extra_parse(const uint8_t *bytes, size_t n, fr_extra *out);   // false: damaged

typedef struct fr_row_sum {
    int64_t id, row, name, what, queued, wait, took;
    uint64_t result, extra;  // hashes, 0 = NULL
    uint8_t ids[32];
} fr_row_sum;
// The columns of a row that are not in its sum, as they are stored.
typedef struct fr_row_bytes {
    const uint8_t *result, *extra, *data;
    size_t result_size, extra_size, data_size;
    int64_t due;
} fr_row_bytes;
static inline uint32_t fr_row_sum_of(const fr_row_sum *x)
{
    return (uint32_t)fr_hash_bytes(x, sizeof *x).lo;
}
// The audit chain: each commit ends with a seal, SHA-256(the seal before, what the records of
// this commit say in all their columns). So a record can be changed only together with all
// seals behind it and the anchor of its run, which later runs' anchors cover.
void fr_audit_begin(fr_sha256_state *h, const uint8_t chain[FR_SHA256_SIZE]);
void fr_audit_row(fr_sha256_state *h, int type, const fr_row_sum *sum, const fr_row_bytes *b);
void fr_audit_part(fr_sha256_state *h, int64_t id, int64_t row, int64_t n, int how,
                   const void *items, size_t size);
void fr_audit_anchor(const uint8_t before[FR_SHA256_SIZE], const uint8_t chain[FR_SHA256_SIZE],
                     uint64_t run, uint64_t seq, uint8_t head[FR_SHA256_SIZE]);

// The ten columns that task, running and journal share; gives the checksum that is stored.
uint32_t fr_row_columns(struct sqlite3_stmt *st, fr_row_sum *sum, fr_row_bytes *bytes);

// wait and took are NULL, or this in sums.
#define FR_ROW_NULL INT64_MIN
// First and last id of a run in the tables of its log.
static inline int64_t fr_row_first(uint64_t run) { return (int64_t)(run << 32); }
static inline int64_t fr_row_last(uint64_t run) { return (int64_t)(run << 32 | UINT32_MAX); }
