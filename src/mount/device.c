/*
 * Each thread has two buffers of its own: requests are read so that the data of a WRITE starts on a
 * page, and data is read from the volume right into the buffer that writev() sends.
 */
#include "mount/device.h"

#include "base/alloc.h"
#include "base/log.h"
#include "mount/operations.h"
#include "mount/state.h"
#include "mount/warden.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define PAGE 4096

/* Before a WRITE's data come the header and its fixed part: with them the data is on a page. */
#define DATA_OFFSET (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))
#define BUFFERS_SIZE (PAGE + PROTOCOL_REQUEST_MAX + PROTOCOL_IO_MAX + PAGE)

struct worker {
	struct device *device;
	pthread_t thread;
	unsigned slot;
	uint8_t *buffers; /* mmap: the request's, then the answer's */
};

struct device {
	struct mount *mount;
	struct worker *workers;
	unsigned count; /* of the workers that run */
	struct warden *warden;
};

/*
 * The kernel refuses an answer with ENOENT when the caller was killed meanwhile, and with ENODEV
 * when the mount is gone: nobody waits for it then.  Anything else means that we broke the
 * protocol.
 */
static void reply(struct request *req, int r, size_t size)
{
	struct fuse_out_header out = {.len = sizeof out, .error = r, .unique = req->in.unique};
	struct iovec iov[] = {{&out, sizeof out}, {req->out, r ? 0 : size}};

	out.len += iov[1].iov_len;
	while (writev(req->mount->fd, iov, iov[1].iov_len ? 2 : 1) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != ENOENT && errno != ENODEV)
			log_error("the kernel refused the answer to request %u on '%s' (%d, %zu "
				  "bytes): %s",
				  req->in.opcode, req->mount->path, r, size, strerror(errno));
		return;
	}
}

/*
 * One request, or -errno when there are to be no more.  A thread may be cancelled only while it
 * waits here: see device_stop().
 */
static ssize_t receive(int fd, void *buf, size_t size)
{
	for (;;) {
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
		ssize_t n = read(fd, buf, size);
		int error = errno;
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);

		if (n >= 0)
			return n;
		/* ENOENT: the request was taken back; EIO: it did not fit, which the kernel tells
		 * its caller. */
		if (error != EINTR && error != ENOENT && error != EAGAIN && error != EIO)
			return -error;
	}
}

/* Apart from work(), whose frame must hold nothing of note when the thread is cancelled. */
static __attribute__((noinline)) void serve(struct worker *worker, const void *data, size_t size)
{
	struct request req = {
		.mount = worker->device->mount,
		.slot = worker->slot,
		.out = worker->buffers + PAGE + PROTOCOL_REQUEST_MAX,
		.out_room = PROTOCOL_IO_MAX + PAGE,
		.reply = reply,
	};

	operations_serve(&req, data, size);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct mount *mount = worker->device->mount;
	uint8_t *in = worker->buffers + PAGE - DATA_OFFSET;
	ssize_t n;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	if (worker->slot == 0)
		warden_post(worker->device->warden);
	while ((n = receive(mount->fd, in, PROTOCOL_REQUEST_MAX)) >= 0)
		serve(worker, in, n);
	if (n != -ENODEV && n != -ECONNABORTED)
		log_error("cannot read requests for '%s': %s", mount->path, strerror(-n));
	return NULL;
}

static int start(struct device *device, unsigned slot)
{
	struct worker *worker = &device->workers[slot];
	int r;

	*worker = (struct worker){.device = device, .slot = slot};
	worker->buffers = mmap(NULL, BUFFERS_SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (worker->buffers == MAP_FAILED)
		return -errno;
	r = pthread_create(&worker->thread, NULL, work, worker);
	if (r) {
		munmap(worker->buffers, BUFFERS_SIZE);
		return -r;
	}
	pthread_setname_np(worker->thread, "unspill-fuse");
	return 0;
}

int device_start(struct mount *mount, unsigned threads, struct device **ret)
{
	struct device *device = xcalloc(1, sizeof *device);
	sigset_t all, before;
	int r = 0;

	device->mount = mount;
	device->warden = warden_new(&mount->outside);
	device->workers = xcalloc(threads, sizeof *device->workers);
	/* Signals are for the program's other threads. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (r >= 0 && device->count < threads) {
		r = start(device, device->count);
		device->count += r >= 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (device->count)
		warden_await(device->warden);
	if (r < 0) {
		device_stop(device);
		return r;
	}
	*ret = device;
	return 0;
}

void device_end(struct device *device)
{
	warden_free(take(device->warden));
}

/*
 * After an unmount the threads see ENODEV and leave by themselves.  When somebody still uses the
 * lazily unmounted filesystem they would wait for ever: so they are cancelled where they wait.
 */
void device_stop(struct device *device)
{
	if (!device)
		return;
	device_end(device);
	for (unsigned i = 0; i < device->count; i++)
		pthread_cancel(device->workers[i].thread);
	for (unsigned i = 0; i < device->count; i++) {
		pthread_join(device->workers[i].thread, NULL);
		munmap(device->workers[i].buffers, BUFFERS_SIZE);
	}
	free(device->workers);
	free(device);
}
