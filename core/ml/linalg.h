#pragma once
// linalg -- OpenBLAS and LAPACK, opened at first use, one thread each.
//
// Nothing of them is linked: starting the program must not load 30 MB. The table is
// opened once per process (any thread; kept until the process ends). Callers parallelise
// with the compute pool over blocks of fixed size. OpenBLAS chooses kernels by processor,
// so results may differ in the last bits between machines; what must not goes without it.
// The program tells it which (lua/main.c), before there are threads.

#include "core/base/err.h"

// Column-major throughout; LAPACK by its Fortran names. Lengths are 32-bit there.
typedef struct fr_linalg {
    // C := alpha op(A) op(B) + beta C; order 102 is column-major, 111 plain, 112
    // transposed.
    void (*dgemm)(int order, int ta, int tb, int m, int n, int k, double alpha,
                  const double *a, int lda, const double *b, int ldb, double beta,
                  double *c, int ldc);
    // C := alpha A A' + beta C (trans 111) or A' A (112); uplo 121 upper, 122 lower.
    void (*dsyrk)(int order, int uplo, int trans, int n, int k, double alpha,
                  const double *a, int lda, double beta, double *c, int ldc);
    void (*dgemv)(int order, int trans, int m, int n, double alpha, const double *a,
                  int lda, const double *x, int incx, double beta, double *y, int incy);
    void (*dpotrf)(const char *uplo, const int *n, double *a, const int *lda, int *info);
    void (*dpotrs)(const char *uplo, const int *n, const int *nrhs, const double *a,
                   const int *lda, double *b, const int *ldb, int *info);
    void (*dgeqp3)(const int *m, const int *n, double *a, const int *lda, int *jpvt,
                   double *tau, double *work, const int *lwork, int *info);
    void (*dormqr)(const char *side, const char *trans, const int *m, const int *n,
                   const int *k, const double *a, const int *lda, const double *tau,
                   double *c, const int *ldc, double *work, const int *lwork, int *info);
    void (*dtrtrs)(const char *uplo, const char *trans, const char *diag, const int *n,
                   const int *nrhs, const double *a, const int *lda, double *b,
                   const int *ldb, int *info);
    void (*dsyevd)(const char *jobz, const char *uplo, const int *n, double *a,
                   const int *lda, double *w, double *work, const int *lwork, int *iwork,
                   const int *liwork, int *info);
    const char *(*config)(void); // "OpenBLAS 0.3.21 ... SkylakeX"
} fr_linalg;

enum {
    FR_LINALG_COLUMNS = 102,
    FR_LINALG_PLAIN = 111,
    FR_LINALG_TRANSPOSED = 112,
    FR_LINALG_UPPER = 121,
    FR_LINALG_LOWER = 122,
};

// FR_EMISSING says how to install it.
FR_NODISCARD int fr_linalg_open(const fr_linalg **out, fr_err *err);
