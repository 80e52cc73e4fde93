/*
 * A clock that tests can set: preloaded into a server, it adds the seconds that the file $SIMULATED_CLOCK holds to
 * what the server takes for the time of day. Timeouts and sleeps keep their real length.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long offset(void)
{
    static int file = -1;
    static long long seconds = 0;
    char text[32];
    ssize_t length;

    if (file < 0 && getenv("SIMULATED_CLOCK") != NULL)
        file = open(getenv("SIMULATED_CLOCK"), O_RDONLY | O_CLOEXEC);
    length = file < 0 ? 0 : pread(file, text, sizeof text - 1, 0);
    /* Empty for a moment while it is written. */
    if (length > 0 && text[length - 1] == '\n')
    {
        text[length] = '\0';
        seconds = atoll(text);
    }
    return seconds;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec real;

    (void) zone;
    clock_gettime(CLOCK_REALTIME, &real);
    now->tv_sec = real.tv_sec + offset();
    now->tv_usec = real.tv_nsec / 1000;
    return 0;
}
