/* Several processes, one detector: a board of the library's own that children inherit, and a mapping of the program's. */

#define _DEFAULT_SOURCE

#include "child.h"

#include <sys/mman.h>
#include <unistd.h>

enum { CHILDREN = 4 };

static int polled(alert_t *handle)
{
    char alert[4096];
    int count = 0;
    while (alert_poll(handle, alert, sizeof(alert), NULL) == ALERT_OK) {
        CHECK_PART(alert, "failover");
        count++;
    }
    return count;
}

static void children_share_what_was_created_before_the_fork(void)
{
    alert_t *handle = created(SETTINGS);
    CHECK_CODE(ALERT_OK, put_answer(handle, 200, 0));
    for (int n = 0; n < CHILDREN; n++) {
        IN_CHILD({
            CHECK_CODE(ALERT_OK, alert_start(handle));
            CHECK_CODE(ALERT_OK, put_failover(handle, later()));
            CHECK_CODE(ALERT_OK, alert_free(handle, 10000));
        });
    }
    /* Each child saw one such request; together it is one failover. */
    CHECK(polled(handle) == 1);
    CHECK_CODE(ALERT_OK, alert_free(handle, 0));
}

static void alerts_go_to_one_of_all_processes(void)
{
    int counts[2];
    CHECK(pipe(counts) == 0);
    alert_t *handle = created(SETTINGS);
    CHECK_CODE(ALERT_OK, put_answer(handle, 200, 0));
    CHECK_CODE(ALERT_OK, put_failover(handle, later()));
    CHECK_CODE(ALERT_OK, put_failover(handle, later()));
    for (int n = 0; n < CHILDREN; n++) {
        IN_CHILD({
            char count = (char)polled(handle);
            CHECK(write(counts[1], &count, 1) == 1);
        });
    }
    int total = 0;
    for (int n = 0; n < CHILDREN; n++) {
        char count = 0;
        CHECK(read(counts[0], &count, 1) == 1);
        total += count;
    }
    CHECK(total == 1);
    close(counts[0]);
    close(counts[1]);
    CHECK_CODE(ALERT_OK, alert_free(handle, 0));
}

static void processes_meet_on_a_mapping(void)
{
    size_t size = 0;
    CHECK_CODE(ALERT_OK, alert_board_size(SETTINGS, strlen(SETTINGS), &size, NULL, 0));
    size *= 2;
    void *board = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(board != MAP_FAILED);
    alert_t *handle = NULL;
    CHECK_CODE(ALERT_OK, alert_create(SETTINGS, strlen(SETTINGS), board, size, &handle, NULL, 0));
    CHECK_CODE(ALERT_OK, put_answer(handle, 200, 0));
    for (int n = 0; n < 2; n++) {
        IN_CHILD({
            alert_t *own = NULL;
            CHECK_CODE(ALERT_OK, alert_create(SETTINGS, strlen(SETTINGS), board, size, &own, NULL, 0));
            CHECK_CODE(ALERT_OK, put_failover(own, later()));
            CHECK_CODE(ALERT_OK, alert_free(own, 0));
        });
    }
    CHECK(polled(handle) == 1);

    /* Other settings take over; what the first handle knew stays on the board. */
    const char *others = "alert_monitor app { window 60; } alert_monitor api { }";
    IN_CHILD({
        alert_t *own = NULL;
        CHECK_CODE(ALERT_OK, alert_create(others, strlen(others), board, size, &own, NULL, 0));
        CHECK_CODE(ALERT_OK, alert_free(own, 0));
    });
    CHECK_CODE(ALERT_ESTALE, put_answer(handle, 200, 0));
    CHECK_CODE(ALERT_ESTALE, alert_tick(handle, 0));
    CHECK_CODE(ALERT_OK, alert_free(handle, 0));
    CHECK(munmap(board, size) == 0);
}

int main(void)
{
    children_share_what_was_created_before_the_fork();
    alerts_go_to_one_of_all_processes();
    processes_meet_on_a_mapping();
    return 0;
}
