/*
 * Pattern: the regular expressions of the models, which are Java's, by PCRE2.
 */
#pragma once

#include "aws/model.h"

/*
 * Whether the whole text (valid UTF-8) is matched by the shape's pattern.  Each pattern is compiled
 * when it is first needed, and kept.  An expression that takes too long over a text does not match
 * it, and one that PCRE2 does not understand matches everything.
 */
bool aws_pattern_matches(const struct aws_shape *shape, const char *text, size_t size);

/* Does PCRE2 understand the shape's pattern? */
bool aws_pattern_is_understood(const struct aws_shape *shape);
