// fuzz_arrow -- hostile bytes against the reader of Arrow files and streams. What is
// accepted is looked at completely.

#include "core/base/mem.h"
#include "core/data/arrow.h"
#include "core/data/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_frame *f = NULL;
    fr_err err = FR_ERR_INIT;
    if (fr_arrow_read_bytes("f", data, size, NULL, 0, &f, &err) != FR_OK) {
        FR_ASSERT(f == NULL && err.text[0] != '\0');
        return 0;
    }
    (void)fr_frame_hash(f);
    fr_buf b;
    fr_csv_write_options w;
    fr_csv_write_defaults(&w);
    fr_buf_init(&b, 1 << 22);
    int rc = f->rows < 10000 ? fr_csv_write_buf(f, &w, &b, &err) : FR_OK;
    FR_ASSERT(rc == FR_OK || rc == FR_ELIMIT || rc == FR_ENOTFOUND); // unknown zones
    fr_buf_fini(&b);
    fr_frame_unref(f);
    return 0;
}
