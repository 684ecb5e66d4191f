/*
 * Page: the part of a long list that one answer has, and where the next one begins.
 *
 * Handlers answer with the whole list; which members a page has, and which of the input say where
 * it begins and how long it may be, the model knows (Marker and MaxRecords, MaxItems and
 * IsTruncated, NextToken).
 */
#pragma once

#include "aws/call.h"

/*
 * Cut *answer's list to the page that the call asks for, and say where the next one begins.  `mark`
 * is the member that is different in each element, and whose order of bytes is that of the pages;
 * "" for a list of strings.  One that begins with '.' is none of the model's, and only there for
 * the pages: it is not in the answer any more.  A page begins behind the element that the marker
 * names, also when that is gone meanwhile.
 *
 * *answer is replaced, what others see of it stays as it is.  AWS_FAULT for a marker that is none
 * of ours. Nothing happens where the operation has no pages.
 */
int aws_page(struct aws_call *call, const char *mark, json_t **answer);
