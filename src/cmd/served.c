#include "cmd/served.h"

#include "control/cluster.h"

#include <unistd.h>

bool served_open(struct talk *ret, const struct typed *typed)
{
	char path[PATH_MAX];
	uid_t who;

	*ret = (struct talk){.typed = typed, .served = true};
	return cluster_serve_path("control.sock", path, NULL) == 0 &&
	       control_connect_serve(path, TALK_SERVE_TIMEOUT_MS, &ret->control, NULL) == 0 &&
	       control_peer(ret->control, &who) == 0 && who == geteuid();
}

int served_ask(struct talk *talk, const char *kind, const char *name, json_t *input, json_t **ret)
{
	return talk_ask(talk,
			json_pack("{s:s, s:s, s:s, s:o}", "do", "job", "kind", kind, "cluster",
				  name, "input", input),
			ret);
}
