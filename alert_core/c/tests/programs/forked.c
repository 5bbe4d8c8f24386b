/* A handle that was started before a fork: an error in the child, and as before in the parent. */

#define _DEFAULT_SOURCE

#include "child.h"

int main(void)
{
    alert_t *handle = created(SETTINGS);
    CHECK_CODE(ALERT_OK, alert_start(handle));
    IN_CHILD({
        CHECK_CODE(ALERT_EFORK, put_answer(handle, 200, 0));
        CHECK_CODE(ALERT_EFORK, alert_flush(handle, 10000));
        CHECK_CODE(ALERT_EFORK, alert_free(handle, 10000));
        CHECK_CODE(ALERT_EHANDLE, put_answer(handle, 200, 0));
    });
    CHECK_CODE(ALERT_OK, put_answer(handle, 200, 0));
    CHECK_CODE(ALERT_OK, alert_flush(handle, 10000));
    CHECK_CODE(ALERT_OK, alert_free(handle, 10000));
    return 0;
}
