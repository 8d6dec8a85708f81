// fuzz_parquet -- hostile bytes against the reader of Parquet files. What is accepted is
// looked at completely.

#include "core/base/mem.h"
#include "core/data/csv.h"
#include "core/data/parquet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const fr_frame *f)
{
    fr_err err = FR_ERR_INIT;
    fr_buf b;
    fr_csv_write_options w;
    (void)fr_frame_hash(f);
    fr_csv_write_defaults(&w);
    fr_buf_init(&b, 1 << 22);
    int rc = f->rows < 10000 ? fr_csv_write_buf(f, &w, &b, &err) : FR_OK;
    FR_ASSERT(rc == FR_OK || rc == FR_ELIMIT || rc == FR_ENOTFOUND); // unknown zones
    fr_buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_frame *f = NULL;
    fr_err err = FR_ERR_INIT;
    fr_parquet_options o;
    fr_parquet_defaults(&o);
    o.most_rows = 20000;
    o.hex = o.scaled = size % 2 != 0;
    if (fr_parquet_read_bytes("f", data, size, &o, &f, &err) == FR_OK) {
        look(f);
        fr_frame_unref(f);
        return 0;
    }
    FR_ASSERT(f == NULL && err.text[0] != '\0');
    return 0;
}
