#include "mount/transport.h"

#include "base/cleanup.h"
#include "mount/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SWITCH "/sys/module/fuse/parameters/enable_uring"

/* The switch's letter, or -errno. */
static int read_switch(void)
{
	CLEANUP(fd) int fd = open(SWITCH, O_RDONLY | O_CLOEXEC);
	char letter;

	if (fd < 0)
		return -errno;
	return read(fd, &letter, 1) == 1 ? letter : -EIO;
}

/* What is part of the kernel is told at boot; what is a module, when it is loaded. */
static const char *lasting_switch(void)
{
	if (access("/sys/module/fuse/initstate", F_OK) == 0)
		return "echo 'options fuse enable_uring=1' > /etc/modprobe.d/fuse.conf";
	return "add fuse.enable_uring=1 to the kernel's command line";
}

int transport_check_io_uring(struct problem *why)
{
	int letter = read_switch(), r;

	if (letter == -ENOENT)
		return problem(why, -EOPNOTSUPP,
			       "this kernel has no FUSE over io_uring; it came with Linux 6.14");
	if (letter < 0)
		return problem_errno(why, -EOPNOTSUPP, "cannot read " SWITCH);
	if (letter != 'Y')
		return problem(why, -EOPNOTSUPP,
			       "FUSE over io_uring is switched off; as root, 'echo Y > " SWITCH
			       "' switches it on, and after a reboot: %s",
			       lasting_switch());
	r = ring_probe();
	if (r < 0)
		return problem(why, -EOPNOTSUPP,
			       "io_uring cannot be used here (%s); see kernel.io_uring_disabled in "
			       "'sysctl -a', and what the container forbids",
			       strerror(-r));
	return 0;
}

enum transport transport_choose(enum transport wanted, struct problem *why)
{
	why->text[0] = '\0';
	if (wanted == TRANSPORT_CLASSIC)
		return TRANSPORT_CLASSIC;
	return transport_check_io_uring(why) < 0 ? TRANSPORT_CLASSIC : TRANSPORT_IO_URING;
}
