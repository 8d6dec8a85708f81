#pragma once
// reaper_int -- shared by reaper.c, reaper_main.c and child.c.

#include <stddef.h>

// Sends one packet with up to 4 descriptors; 0 or errno.
int fr_reaper_send(int socket, const void *bytes, size_t size, const int *fds, size_t n);
