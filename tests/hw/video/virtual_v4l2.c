/* Two webcams, /dev/video90 and /dev/video91, for machines whose kernel has no vivid or v4l2loopback.
 *
 * Preloaded into a process, it answers open() and ioctl() on those names as a UVC camera does, written against
 * linux/videodev2.h, so that the other side's structures and numbers are put to the test; buffers are a memfd, so
 * mmap() is the kernel's own. It films VIRTUAL_V4L2_SCENE (H x W x 3 float32, 1.0 saturates 8 ms) in sRGB.
 *
 * As real ones do, it takes an exposure VIRTUAL_V4L2_LATENCY frames after it was set, skips every
 * VIRTUAL_V4L2_SKIP-th setting, mixes two exposures in every VIRTUAL_V4L2_MIX-th frame that changes, and meddles
 * with the exposure by itself until it is told not to. VIRTUAL_V4L2_UNPLUG=N,M: no camera from frame N on for M
 * openings.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { CAMERAS = 2, BUFFERS = 4, FDS = 1024, DEPTH = 16, LEVELS = 4096 };

struct control {
    unsigned id, type;
    const char *name;
    long long minimum, maximum, step, initial;
    unsigned flags;
};

#define CID_STORED (V4L2_CID_CAMERA_CLASS_BASE + 0x1009)
static const struct control CONTROLS[] = {
    {V4L2_CID_AUTO_WHITE_BALANCE, V4L2_CTRL_TYPE_BOOLEAN, "White Balance, Automatic", 0, 1, 1, 1, 0},
    {V4L2_CID_GAIN, V4L2_CTRL_TYPE_INTEGER, "Gain", 4, 255, 1, 64, 0},
    {V4L2_CID_EXPOSURE_AUTO, V4L2_CTRL_TYPE_MENU, "Auto Exposure", 0, 3, 1, 3, 0},
    {V4L2_CID_EXPOSURE_ABSOLUTE, V4L2_CTRL_TYPE_INTEGER, "Exposure Time, Absolute", 3, 2047, 1, 250, 0},
    {V4L2_CID_EXPOSURE_AUTO_PRIORITY, V4L2_CTRL_TYPE_BOOLEAN, "Exposure, Dynamic Framerate", 0, 1, 1, 1, 0},
    {V4L2_CID_PRIVACY, V4L2_CTRL_TYPE_BOOLEAN, "Privacy", 0, 1, 1, 0, V4L2_CTRL_FLAG_READ_ONLY},
    {CID_STORED, V4L2_CTRL_TYPE_INTEGER64, "Pixel Rate, Stored", -5, 1LL << 40, 1, 0, 0},
};
enum { COUNT = sizeof(CONTROLS) / sizeof(CONTROLS[0]), AUTO = 2, EXPOSURE = 3, DYNAMIC = 4 };

struct camera {
    long long value[COUNT];
    double applied[DEPTH]; /* exposure in us of the frames to come */
    unsigned width, height, fps, sets;
    int streaming, memfd, plugged, queued[BUFFERS], head, tail;
    unsigned sequence;
    size_t size;
    struct timespec begin;
};

static struct camera cameras[CAMERAS];
static signed char camera_of[FDS];
static int opened_at[FDS]; /* of the camera's times of being plugged in */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static float *scene;
static unsigned char gamma_table[LEVELS + 1];
static int latency, skip, mix, unplug_at, unplugged;

static int setting(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

__attribute__((constructor)) static void start(void) {
    latency = setting("VIRTUAL_V4L2_LATENCY", 2);
    skip = setting("VIRTUAL_V4L2_SKIP", 0);
    mix = setting("VIRTUAL_V4L2_MIX", 0);
    if (getenv("VIRTUAL_V4L2_UNPLUG")) sscanf(getenv("VIRTUAL_V4L2_UNPLUG"), "%d,%d", &unplug_at, &unplugged);
    memset(camera_of, -1, sizeof camera_of);
    for (int i = 0; i <= LEVELS; i++) {
        double x = (double)i / LEVELS;
        gamma_table[i] = lrint(255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * pow(x, 1 / 2.4) - 0.055));
    }
    for (int i = 0; i < CAMERAS; i++) {
        struct camera *c = &cameras[i];
        c->width = setting("VIRTUAL_V4L2_WIDTH", 192);
        c->height = setting("VIRTUAL_V4L2_HEIGHT", 128);
        c->fps = 30;
        for (int k = 0; k < COUNT; k++) c->value[k] = CONTROLS[k].initial;
        for (int k = 0; k < DEPTH; k++) c->applied[k] = 100.0 * CONTROLS[EXPOSURE].initial;
    }
}

static void load_scene(const struct camera *c) {
    size_t bytes = (size_t)c->width * c->height * 3 * sizeof(float);
    FILE *file = scene ? NULL : fopen(getenv("VIRTUAL_V4L2_SCENE") ? getenv("VIRTUAL_V4L2_SCENE") : "", "rb");
    if (scene) return;
    scene = calloc(1, bytes);
    if (file && fread(scene, 1, bytes, file) != bytes) abort();
    if (file) fclose(file);
}

static void expose(struct camera *c, unsigned char *out) {
    double now = c->applied[c->sequence % DEPTH], before = c->applied[(c->sequence + DEPTH - 1) % DEPTH];
    int mixed = mix && now != before && c->sequence % mix == 0;
    if (c->value[AUTO] != 1) now = before = 1000.0 * (2 + c->sequence % 29);
    for (unsigned y = 0; y < c->height; y++) {
        double share = mixed && y < c->height / 2 ? before : now;
        float ratio = share / 8000.0 * LEVELS;
        const float *in = scene + (size_t)y * c->width * 3;
        for (unsigned i = 0; i < c->width * 3; i += 3)
            for (unsigned k = 0; k < 3; k++) {
                float level = in[i + k] * ratio;
                *out++ = gamma_table[level < LEVELS ? (int)level : LEVELS];
            }
    }
}

static int fill_control(const struct control *k, struct v4l2_query_ext_ctrl *q) {
    memset(q, 0, sizeof *q);
    q->id = k->id, q->type = k->type, q->flags = k->flags;
    snprintf(q->name, sizeof q->name, "%s", k->name);
    q->minimum = k->minimum, q->maximum = k->maximum, q->step = k->step, q->default_value = k->initial;
    q->elem_size = k->type == V4L2_CTRL_TYPE_INTEGER64 ? 8 : 4, q->elems = 1;
    return 0;
}

static int query(struct v4l2_query_ext_ctrl *q) {
    unsigned id = q->id & V4L2_CTRL_ID_MASK;
    int next = (q->id & V4L2_CTRL_FLAG_NEXT_CTRL) != 0;
    for (int k = 0; k < COUNT; k++)
        if (next ? CONTROLS[k].id > id : CONTROLS[k].id == id) return fill_control(&CONTROLS[k], q);
    return EINVAL;
}

static int exchange(struct camera *c, struct v4l2_ext_controls *several, int set) {
    for (unsigned n = 0; n < several->count; n++) {
        struct v4l2_ext_control *one = &several->controls[n];
        int k = 0;
        while (k < COUNT && CONTROLS[k].id != one->id) k++;
        several->error_idx = n;
        if (k == COUNT) return EINVAL;
        int wide = CONTROLS[k].type == V4L2_CTRL_TYPE_INTEGER64;
        if (!set) {
            if (wide) one->value64 = c->value[k];
            else one->value = c->value[k];
            continue;
        }
        long long value = wide ? one->value64 : one->value;
        if (CONTROLS[k].flags & V4L2_CTRL_FLAG_READ_ONLY) return EACCES;
        if (value < CONTROLS[k].minimum || value > CONTROLS[k].maximum) return ERANGE;
        if (k == EXPOSURE && c->value[AUTO] != 1) return EACCES;
        c->value[k] = value;
        if (k != EXPOSURE || (skip && ++c->sets % skip == 0)) continue;
        for (unsigned ahead = latency; ahead < DEPTH - 1; ahead++)
            c->applied[(c->sequence + ahead) % DEPTH] = 100.0 * value;
    }
    return 0;
}

static int queue(struct camera *c, struct v4l2_buffer *b) {
    if (b->index >= BUFFERS) return EINVAL;
    c->queued[c->tail++ % BUFFERS] = b->index;
    return 0;
}

static void when(const struct camera *c, struct timespec *t) {
    long long ns = c->begin.tv_nsec + (c->sequence + 1) * 1000000000LL / c->fps;
    t->tv_sec = c->begin.tv_sec + ns / 1000000000LL;
    t->tv_nsec = ns % 1000000000LL;
}

static int dequeue(struct camera *c, struct v4l2_buffer *b) {
    if (!c->streaming || c->head == c->tail) return EINVAL;
    if (unplug_at && c->sequence >= (unsigned)unplug_at) {
        c->streaming = 0, c->plugged++;
        return ENODEV;
    }
    struct timespec t, now;
    when(c, &t);
    pthread_mutex_unlock(&lock);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&lock);
    int index = c->queued[c->head++ % BUFFERS];
    size_t room = (c->size + 4095) / 4096 * 4096;
    unsigned char *out = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED, c->memfd, index * room);
    if (out == MAP_FAILED) return EIO;
    expose(c, out);
    munmap(out, room);
    memset(b, 0, sizeof *b);
    b->type = V4L2_BUF_TYPE_VIDEO_CAPTURE, b->memory = V4L2_MEMORY_MMAP, b->index = index;
    b->bytesused = b->length = c->size, b->sequence = c->sequence, b->field = V4L2_FIELD_NONE;
    b->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_TSTAMP_SRC_SOE;
    b->timestamp.tv_sec = t.tv_sec, b->timestamp.tv_usec = t.tv_nsec / 1000;
    c->sequence++;
    c->applied[(c->sequence + DEPTH - 2) % DEPTH] = c->applied[(c->sequence + DEPTH - 3) % DEPTH];
    return 0;
}

static void format(const struct camera *c, struct v4l2_format *f) {
    memset(&f->fmt, 0, sizeof f->fmt);
    f->fmt.pix.width = c->width, f->fmt.pix.height = c->height;
    f->fmt.pix.pixelformat = V4L2_PIX_FMT_RGB24, f->fmt.pix.field = V4L2_FIELD_NONE;
    f->fmt.pix.bytesperline = c->width * 3, f->fmt.pix.sizeimage = c->width * c->height * 3;
    f->fmt.pix.colorspace = V4L2_COLORSPACE_SRGB;
}

static int answer(struct camera *c, int fd, unsigned long request, void *argument) {
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *cap = argument;
        memset(cap, 0, sizeof *cap);
        strcpy((char *)cap->driver, "uvcvideo");
        snprintf((char *)cap->card, sizeof cap->card, "Virtual Webcam");
        snprintf((char *)cap->bus_info, sizeof cap->bus_info, "usb-virtual-%d", (int)(c - cameras));
        cap->version = 0x060100;
        cap->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        cap->capabilities = cap->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_QUERY_EXT_CTRL: return query(argument);
    case VIDIOC_G_EXT_CTRLS: return exchange(c, argument, 0);
    case VIDIOC_S_EXT_CTRLS: return exchange(c, argument, 1);
    case VIDIOC_G_INPUT: *(int *)argument = 0; return 0;
    case VIDIOC_S_INPUT: return 0;
    case VIDIOC_ENUMINPUT: {
        struct v4l2_input *input = argument;
        if (input->index) return EINVAL;
        input->type = V4L2_INPUT_TYPE_CAMERA;
        return 0;
    }
    case VIDIOC_G_FMT: format(c, argument); return 0;
    case VIDIOC_TRY_FMT:
    case VIDIOC_S_FMT: {
        struct v4l2_format *f = argument;
        if (f->fmt.pix.pixelformat != V4L2_PIX_FMT_RGB24) return EINVAL;
        format(c, f);
        return 0;
    }
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM: {
        struct v4l2_streamparm *parm = argument;
        struct v4l2_fract *per = &parm->parm.capture.timeperframe;
        if (request == VIDIOC_S_PARM && per->numerator) c->fps = per->denominator / per->numerator;
        parm->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        per->numerator = 1, per->denominator = c->fps;
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *r = argument;
        c->size = (size_t)c->width * c->height * 3;
        if (r->count > BUFFERS) r->count = BUFFERS;
        c->head = c->tail = 0, c->memfd = fd;
        return ftruncate(fd, BUFFERS * ((c->size + 4095) / 4096 * 4096)) ? errno : 0;
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *b = argument;
        if (b->index >= BUFFERS) return EINVAL;
        b->length = c->size, b->m.offset = b->index * ((c->size + 4095) / 4096 * 4096);
        return 0;
    }
    case VIDIOC_QBUF: return queue(c, argument);
    case VIDIOC_DQBUF: return dequeue(c, argument);
    case VIDIOC_STREAMON:
        load_scene(c);
        clock_gettime(CLOCK_MONOTONIC, &c->begin);
        c->streaming = 1, c->sequence = 0;
        for (int k = 0; k < DEPTH; k++) c->applied[k] = 100.0 * c->value[EXPOSURE];
        return 0;
    case VIDIOC_STREAMOFF: c->streaming = 0, c->head = c->tail = 0; return 0;
    default: return ENOTTY;
    }
}

int ioctl(int fd, unsigned long request, ...) {
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    if (fd < 0 || fd >= FDS || camera_of[fd] < 0) {
        static int (*real)(int, unsigned long, ...);
        if (!real) real = dlsym(RTLD_NEXT, "ioctl");
        return real(fd, request, argument);
    }
    pthread_mutex_lock(&lock);
    struct camera *c = &cameras[(int)camera_of[fd]];
    int error = opened_at[fd] != c->plugged ? ENODEV : answer(c, fd, request & 0xffffffff, argument);
    pthread_mutex_unlock(&lock);
    errno = error;
    return error ? -1 : 0;
}

static int open_camera(const char *path) {
    int index = strcmp(path, "/dev/video90") == 0 ? 0 : strcmp(path, "/dev/video91") == 0 ? 1 : -1;
    if (index < 0) return -2;
    pthread_mutex_lock(&lock);
    int gone = unplug_at && cameras[index].sequence >= (unsigned)unplug_at && unplugged-- > 0;
    if (!gone && unplug_at && cameras[index].sequence >= (unsigned)unplug_at) {
        unplug_at = 0; /* back, with the settings it has after power-on */
        for (int k = 0; k < COUNT; k++) cameras[index].value[k] = CONTROLS[k].initial;
    }
    pthread_mutex_unlock(&lock);
    if (gone) return errno = ENODEV, -1;
    int fd = memfd_create("virtual camera", MFD_CLOEXEC);
    if (fd >= 0 && fd < FDS) camera_of[fd] = index, opened_at[fd] = cameras[index].plugged;
    return fd;
}

#define OPEN(name)                                                      \
    int name(const char *path, int flags, ...) {                        \
        static int (*real)(const char *, int, ...);                     \
        if (!real) real = dlsym(RTLD_NEXT, #name);                      \
        va_list list;                                                   \
        va_start(list, flags);                                          \
        int mode = va_arg(list, int);                                   \
        va_end(list);                                                   \
        int fd = open_camera(path);                                     \
        return fd != -2 ? fd : real(path, flags, mode);                 \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "close");
    if (fd >= 0 && fd < FDS) camera_of[fd] = -1;
    return real(fd);
}
