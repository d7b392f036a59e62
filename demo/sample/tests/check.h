#ifndef CHECK_H
#define CHECK_H

#include <stdarg.h>
#include <stdio.h>

static int check_failures;

/* Prints one coloured line and counts what failed. */
__attribute__((format(printf, 2, 3))) static inline void check(int holds, const char *what, ...)
{
    va_list arguments;
    va_start(arguments, what);
    printf(holds ? "\033[32mPASS\033[0m " : "\033[1;31mFAIL\033[0m ");
    vprintf(what, arguments);
    printf("\n");
    va_end(arguments);
    if (!holds)
        check_failures++;
}

#endif
