#pragma once
// utf8 -- is it UTF-8 (RFC 3629: shortest forms, no surrogates, at most U+10FFFF)? Pure.

#include <stdbool.h>
#include <stddef.h>

// *bad (may be NULL) is the offset of the first byte that does not fit.
bool fr_utf8_valid(const char *s, size_t n, size_t *bad);
