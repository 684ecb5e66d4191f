/* Show: a cluster as the API shows it; pure. */
#pragma once

#include "rds/fleet.h"

/* A DBCluster.  The caller owns it. */
json_t *show_cluster(const struct seen *seen);

/* "arn:aws:rds:REGION:ACCOUNT:cluster:NAME" */
void show_arn(const struct record *record, char ret[AWS_ARN_SIZE]);

/* The earliest moment that a backtrack can go to; 0 when it is not known. */
int64_t seen_earliest_us(const struct seen *seen);
/* The target window; 0: no backtracks. */
int64_t seen_window_us(const struct seen *seen);
