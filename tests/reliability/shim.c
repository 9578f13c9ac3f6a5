/* Faults that cannot be made from outside, put into a process with LD_PRELOAD and steered through a shared page.
 *
 * The wall clock that the program sees is moved (files keep the kernel's), and one call of an encoder is kept
 * from ever returning. docs/reliability.md names where it was used.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t clock_ahead_ns;
    char hang_encoder[24]; /* FFmpeg's name of the encoder whose next call hangs; cleared by that call */
};

static struct control nothing;
static struct control *control = &nothing;

__attribute__((constructor)) static void open_control(void)
{
    const char *path = getenv("TWINHDR_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED)
        control = page;
    if (fd >= 0)
        close(fd);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    int failed = (int)syscall(SYS_clock_gettime, id, t);
    int64_t ahead = __atomic_load_n(&control->clock_ahead_ns, __ATOMIC_RELAXED);
    if (!failed && ahead && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        int64_t ns = t->tv_sec * INT64_C(1000000000) + t->tv_nsec + ahead;
        t->tv_sec = ns / INT64_C(1000000000);
        t->tv_nsec = ns % INT64_C(1000000000);
    }
    return failed;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

/* The beginnings of AVCodecContext and AVCodec, the same in every release that PyAV was built with. */
struct codec {
    const char *name;
};
struct context {
    const void *class;
    int log_level, type;
    const struct codec *codec;
};

/* Python opens libavcodec for itself alone, so RTLD_NEXT does not find it. */
static int is_libavcodec(struct dl_phdr_info *info, size_t size, void *out)
{
    (void)size;
    if (!strstr(info->dlpi_name, "/libavcodec"))
        return 0;
    *(void **)out = dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
    return 1;
}

int avcodec_send_frame(struct context *context, const void *frame)
{
    static int (*real)(struct context *, const void *);
    void *library = NULL;
    const char *name = context->codec ? context->codec->name : "";
    if (control->hang_encoder[0] && !strncmp(control->hang_encoder, name, sizeof control->hang_encoder)) {
        control->hang_encoder[0] = 0;
        for (;;)
            pause();
    }
    if (!real && dl_iterate_phdr(is_libavcodec, &library))
        real = (int (*)(struct context *, const void *))dlsym(library, "avcodec_send_frame");
    return real(context, frame);
}
