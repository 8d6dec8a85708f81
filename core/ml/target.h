#pragma once
// target -- class labels of any type as codes 0 .. classes-1 in sorted order, and back.
// Numbers sort by value, texts by bytes, ordered categories by their order. Any thread.

#include "core/base/buf.h"
#include "core/data/array.h"

enum { FR_TARGET_CLASSES = 65535 }; // most that a classifier takes

// Labels are integers, booleans, texts, categories, or doubles that are whole numbers.
// *labels gets one array of the distinct values (a reference to the caller),
// code[y->length] the number of each row's. `name` is for messages: nulls, other types
// and too many classes are errors.
FR_NODISCARD int fr_target_encode(const fr_array *y, const char *name, int32_t *code,
                                  fr_array **labels, fr_err *err);
// The same for two arrays (truth and prediction) with one list of labels; numbers of
// different types are compared as numbers.
FR_NODISCARD int fr_target_encode_pair(const fr_array *y, const fr_array *p,
                                       int32_t *code_y, int32_t *code_p,
                                       fr_array **labels, fr_err *err);
// The codes of y among `labels`; FR_EINVAL names a value that is not among them.
FR_NODISCARD int fr_target_match(const fr_array *y, const char *name,
                                 const fr_array *labels, int32_t *code, fr_err *err);
// An array of the labels' type: labels[code[i]].
FR_NODISCARD int fr_target_decode(const fr_array *labels, const int32_t *code, size_t n,
                                  fr_array **out, fr_err *err);
// A label as Python prints it: 3, 1.0, 1e+16, True, high.
void fr_target_print(const fr_array *labels, int64_t i, fr_buf *out);
