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

/* False while the file is being written: it is empty for a moment. */
static int read_offset(long long *seconds)
{
    static int file = -1;
    char text[32];
    ssize_t length;

    if (file < 0)
        file = open(getenv("SIMULATED_CLOCK"), O_RDONLY | O_CLOEXEC);
    length = file < 0 ? 0 : pread(file, text, sizeof text - 1, 0);
    if (length <= 0 || text[length - 1] != '\n')
        return 0;
    text[length] = '\0';
    *seconds = atoll(text);
    return 1;
}

/*
 * What the process has read last does when the file is empty, and it may be the one that writes. What it has from the
 * process that forked it may be of long ago: for its first time it waits.
 */
static long long offset(void)
{
    static long long seconds = 0;
    static pid_t reader = 0;
    struct timespec const pause = {0, 100000};
    int attempts = 0;

    if (getenv("SIMULATED_CLOCK") == NULL)
        return 0;
    while (!read_offset(&seconds) && reader != getpid() && ++attempts < 50000)
        nanosleep(&pause, NULL);
    reader = getpid();
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

time_t time(time_t *result)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    if (result != NULL)
        *result = now.tv_sec;
    return now.tv_sec;
}
