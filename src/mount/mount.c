#include "mount/mount.h"

#include "base/alloc.h"
#include "mount/attach.h"
#include "mount/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define THREADS_DEFAULT 16

/* Slots of flight.h from here on are the ring's. */
#define THREADS_MAX 64u
static_assert(THREADS_MAX + RING_WORKERS_MAX < FLIGHT_SLOTS, "and tests take the last one");

/* The kernel says hello at once; if it does not, something is badly wrong. */
#define HELLO_TIMEOUT_SECONDS 20

void mount_greet(struct mount *mount, int greeted)
{
	pthread_mutex_lock(&mount->lock);
	mount->greeted = greeted;
	pthread_cond_broadcast(&mount->changed);
	pthread_mutex_unlock(&mount->lock);
}

static int wait_for_hello(struct mount *mount)
{
	struct timespec deadline;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += HELLO_TIMEOUT_SECONDS;
	pthread_mutex_lock(&mount->lock);
	while (!mount->greeted && r == 0)
		r = pthread_cond_timedwait(&mount->changed, &mount->lock, &deadline);
	r = mount->greeted ? MIN(mount->greeted, 0) : -r;
	pthread_mutex_unlock(&mount->lock);
	return r;
}

static struct mount *mount_new(struct volume *volume, const char *path,
			       const struct mount_options *options)
{
	struct mount *mount = xcalloc(1, sizeof *mount);

	mount->volume = volume;
	mount->view = options->view ? options->view : volume_head(volume);
	mount->read_only = options->view != NULL;
	mount->direct = options->direct;
	mount->inward = options->inward;
	mount->fd = -1;
	mount->path = xstrdup(path);
	pthread_mutex_init(&mount->lock, NULL);
	pthread_cond_init(&mount->changed, NULL);
	flight_init(&mount->flight);
	nodes_init(&mount->nodes);
	rewind_init(&mount->rewind);
	return mount;
}

/* What the kernel did not give back, because the mount went away under its users. */
static void drop_references(struct mount *mount)
{
	CLEANUP(free) struct node_count *nodes = NULL;
	size_t count = mount->read_only ? 0 : nodes_list(&mount->nodes, &nodes);

	for (size_t i = 0; i < count; i++)
		volume_unref(mount->volume, nodes[i].ino, nodes[i].count);
}

static void mount_free(struct mount *mount)
{
	ring_stop(mount->ring);
	device_stop(mount->device);
	if (mount->fd >= 0)
		close(mount->fd);
	drop_references(mount);
	rewind_done(&mount->rewind);
	nodes_done(&mount->nodes);
	flight_done(&mount->flight);
	pthread_cond_destroy(&mount->changed);
	pthread_mutex_destroy(&mount->lock);
	free(mount->path);
	free(mount);
}
DEFINE_CLEANUP(struct mount *, mount_half, mount_free)

static void prepare_ring(struct mount *mount, enum transport wanted)
{
	int r;

	if (transport_choose(wanted, &mount->no_ring) != TRANSPORT_IO_URING)
		return;
	r = ring_prepare(mount, THREADS_MAX, &mount->ring);
	if (r < 0)
		problem_errno(&mount->no_ring, r, "cannot set up io_uring");
}

/* From the promise to the start nobody who uses the mount gets an answer. */
static void start_ring(struct mount *mount)
{
	int r;

	if (!mount->ring)
		return;
	if (!mount->ring_promised) {
		problem(&mount->no_ring, -EOPNOTSUPP, "the kernel did not offer io_uring");
		ring_stop(take(mount->ring));
		return;
	}
	r = ring_start(mount->ring);
	if (r < 0)
		problem_errno(&mount->no_ring, r, "the kernel refused io_uring");
}

enum transport mount_transport(const struct mount *mount, const char **ret_why)
{
	*ret_why = mount->no_ring.text;
	return mount->ring && !mount->no_ring.text[0] ? TRANSPORT_IO_URING : TRANSPORT_CLASSIC;
}

static int serve(struct mount *mount, const struct mount_options *options)
{
	unsigned threads = options->threads ? options->threads : THREADS_DEFAULT;
	int r;

	mount->outside = (struct outside){mount->path, outside_device(mount->path)};
	prepare_ring(mount, options->transport);
	r = device_start(mount, MIN(threads, THREADS_MAX), &mount->device);
	if (r == 0)
		r = wait_for_hello(mount);
	if (r < 0)
		return r;
	start_ring(mount);
	attach_read_ahead(mount->outside.device_number, PROTOCOL_READ_AHEAD);
	return 0;
}

int mount_open(struct volume *volume, const char *path, const struct mount_options *options,
	       struct mount **ret, struct problem *why)
{
	struct attach_options attach = {
		.source = options->source ? options->source : "unspill",
		.allow_other = options->allow_other,
		.read_only = options->view != NULL,
	};
	CLEANUP(free) char *real = realpath(path, NULL);
	CLEANUP(mount_half) struct mount *mount = mount_new(volume, real ? real : path, options);
	int r;

	r = attach_open(mount->path, &attach, &mount->fd, why);
	if (r < 0)
		return r;
	r = serve(mount, options);
	if (r < 0) {
		attach_close(mount->path, true);
		return problem_errno(why, r, "cannot serve '%s'", path);
	}
	*ret = take(mount);
	return 0;
}

int mount_leave(struct mount *mount)
{
	/* Somebody else took it off. */
	if (outside_device(mount->path) != mount->outside.device_number)
		return 0;
	return attach_close(mount->path, false) == -EBUSY ? -EBUSY : 0;
}

dev_t mount_device(const struct mount *mount)
{
	return mount->outside.device_number;
}

void mount_close(struct mount *mount)
{
	if (!mount)
		return;
	/* Somebody may have unmounted it already, and mounted something else there. */
	if (outside_device(mount->path) == mount->outside.device_number) {
		/* Pages dirtied through mappings would be lost with a connection that ends under
		 * them. */
		outside_sync(&mount->outside);
		if (attach_close(mount->path, false) < 0)
			attach_close(mount->path, true);
	}
	mount_free(mount);
}

void mount_get_stats(struct mount *mount, struct mount_stats *ret)
{
	struct mount_counters *counters = &mount->counters;

	*ret = (struct mount_stats){
		.requests = counters->requests,
		.reads = counters->reads,
		.writes = counters->writes,
		.syncs = counters->syncs,
		.errors = counters->errors,
		.ring_requests = counters->ring_requests,
		.read_bytes = counters->read_bytes,
		.write_bytes = counters->write_bytes,
		.dropped_writes = counters->dropped_writes,
	};
}
