/* A part of a test program that runs in a child, and has to succeed there. */

#ifndef CHILD_H
#define CHILD_H

#include "check.h"

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define IN_CHILD(body)                                                          \
    do {                                                                        \
        int state_ = 0;                                                         \
        pid_t pid_ = fork();                                                    \
        CHECK(pid_ >= 0);                                                       \
        if (pid_ == 0) {                                                        \
            body;                                                               \
            _exit(0);                                                           \
        }                                                                       \
        CHECK(waitpid(pid_, &state_, 0) == pid_ && state_ == 0);                \
    } while (0)

#endif
