#pragma once
// special -- elementary and special functions with the same bits on every machine.
//
// libm's exp and log choose an implementation by CPU and C library version; anything
// whose result is stored, compared or hashed uses these instead (error below 2 ulp).
// Pure, any thread.

#include <stddef.h>

double fr_special_log(double x); // NaN below 0, -inf at 0
double fr_special_exp(double x); // 0 below -745, inf above 709.78
// Inverse of the standard normal distribution function (Wichura 1988, AS 241, about
// 1e-16).
double fr_special_normal_quantile(double p); // NaN outside (0, 1)
// The same of n values within (0, 1), in place.
void fr_special_normal_quantiles(double *p, size_t n);
// log(k!) minus Stirling's leading terms in k + 1 (Hoermann 1993): for acceptance tests
// that must not cancel at large k. k >= 0.
double fr_special_stirling_rest(double k);
