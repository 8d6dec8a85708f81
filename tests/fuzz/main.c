// Runs a fuzz target without libFuzzer: every file of its corpus, then mutations of each,
// always the same ones. So each target is an ordinary test in every build; the preset
// "fuzz" links libFuzzer instead.

#include "core/base/rand.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_BYTES = 1 << 16, ROUNDS = 5000 };

static void mutate(fr_rand *rand, uint8_t *bytes, size_t *size)
{
    static const uint8_t likely[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 0x7f, 0x80, 0xff, '"', ',', '\n'};
    for (uint64_t n = 1 + fr_rand_below(rand, 4); n > 0 && *size > 0; n--) {
        size_t at = fr_rand_below(rand, *size);
        uint64_t what = fr_rand_below(rand, 8);
        if (what == 0) {
            *size = at + 1;
        } else if (what < 3 && *size < MOST_BYTES) {
            memmove(bytes + at + 1, bytes + at, *size - at);
            bytes[at] = likely[fr_rand_below(rand, sizeof likely)];
            *size += 1;
        } else if (what < 6) {
            bytes[at] = likely[fr_rand_below(rand, sizeof likely)];
        } else {
            bytes[at] ^= (uint8_t)(1U << fr_rand_below(rand, 8));
        }
    }
}

// Each input is in its own exact allocation, so that a read beyond it is found.
static void give(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    if (exact == NULL) {
        abort();
    }
    memcpy(exact, bytes, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static void run_file(const char *folder, const char *name)
{
    static uint8_t seed[MOST_BYTES], bytes[MOST_BYTES];
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    size_t n = fread(seed, 1, sizeof seed, f);
    (void)fclose(f);
    give(seed, n);
    fr_rand rand;
    fr_rand_init(&rand, 1, 0);
    for (int k = 0; k < ROUNDS; k++) {
        size_t size = n;
        memcpy(bytes, seed, n);
        mutate(&rand, bytes, &size);
        give(bytes, size);
    }
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (folder == NULL) {
        (void)fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
        return EXIT_FAILURE;
    }
    int files = 0;
    for (struct dirent *e; (e = readdir(folder)) != NULL;) {
        if (e->d_name[0] != '.') {
            run_file(argv[1], e->d_name);
            files++;
        }
    }
    (void)closedir(folder);
    give((const uint8_t *)"", 0);
    (void)printf("%d inputs, %d mutations of each\n", files, ROUNDS);
    return files == 0;
}
