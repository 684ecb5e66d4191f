#include "rds/rds.h"
#include "serve/serve.h"

static void tell_all(const struct aws_answers *answers,
		     void (*tell)(const char *service, const char *operation, void *arg), void *arg)
{
	for (const struct aws_handler *handler = answers->handlers; handler->operation; handler++)
		tell(answers->service, handler->operation, arg);
}

void serve_operations(void (*tell)(const char *service, const char *operation, void *arg),
		      void *arg)
{
	const struct aws_answers of_rds = {"rds", rds_handlers, NULL};
	struct aws_answers of_iam, of_sts;

	identity_answers(NULL, &of_iam, &of_sts);
	tell_all(&of_iam, tell, arg);
	tell_all(&of_rds, tell, arg);
	tell_all(&of_sts, tell, arg);
}
