#pragma once
// zone -- time zones from the system's tz database (TZif files, RFC 8536).
//
// Lifetime: fr_zone_open returns one reference; a zone never changes, any thread may use it.

#include "core/base/err.h"

#include <stdint.h>

typedef struct fr_zone fr_zone;

// "UTC", an IANA name ("Europe/Paris"), or a fixed offset ("+05:30"). FR_ENOTFOUND when
// there is no such zone, FR_ECORRUPT when its file is damaged.
FR_NODISCARD int fr_zone_open(const char *name, fr_zone **out, fr_err *err);
fr_zone *fr_zone_ref(fr_zone *z);
void fr_zone_unref(fr_zone *z);                                  // NULL is fine
int32_t fr_zone_offset(const fr_zone *z, int64_t utc_s);         // seconds east of UTC
// The UTC times whose local time is `local_s`: returns 0 (the clock jumped over it), 1, or
// 2 (it happened twice), earlier one first.
int fr_zone_from_local(const fr_zone *z, int64_t local_s, int64_t utc_s[2]);
