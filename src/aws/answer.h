/*
 * Answer: an output tree (call.h), written by its shape, straight into the response's body.
 *
 * Members that the model does not have are a mistake of the handler's: logged, and left out.
 */
#pragma once

#include "aws/model.h"
#include "base/buffer.h"

#include <jansson.h>

/* The members of a structure, without an element around them; `output` NULL is an empty one. */
void aws_answer_xml(struct buffer *buffer, const struct aws_shape *shape, const json_t *output);
/* Text with what XML needs escaped; what XML cannot say becomes U+FFFD. */
void aws_answer_xml_text(struct buffer *buffer, const char *text, size_t size);

void aws_answer_json(struct buffer *buffer, const struct aws_shape *shape, const json_t *output);
void aws_answer_json_text(struct buffer *buffer, const char *text, size_t size);

void aws_answer_cbor(struct buffer *buffer, const struct aws_shape *shape, const json_t *output);

/* The member of an answer that is a structure; NULL, and logged, when the model has none. */
const struct aws_member *aws_answer_member(const struct aws_shape *shape, const char *name);

/*
 * For JSON and CBOR, which nest as the tree does.  The shape of what is called `name` in an object,
 * a structure's or a map's, and of what is in an array; NULL, and logged, as above.
 */
const struct aws_shape *aws_answer_value(const struct aws_shape *object, const char *name);
const struct aws_shape *aws_answer_element(const struct aws_shape *array);
