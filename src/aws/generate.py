#!/usr/bin/env python3
"""
The table of services, operations and shapes (model.h), from botocore's service models.

    generate.py --out table.c --depfile table.d --supplement supplement.json [--data FOLDER] SERVICE...

A service is a folder of botocore's data, or of FOLDER; its newest version is taken.  supplement.json says, in the form of those
files, what the ones of that age do not: how a service is called in JSON and CBOR, how it words what is wrong, pages.
"""
import argparse
import json
import os
import re
import sys

TYPES = {
    "structure": "AWS_STRUCTURE", "list": "AWS_LIST", "map": "AWS_MAP", "string": "AWS_STRING", "character": "AWS_STRING",
    "boolean": "AWS_BOOLEAN", "integer": "AWS_INTEGER", "long": "AWS_LONG", "float": "AWS_FLOAT", "double": "AWS_DOUBLE",
    "timestamp": "AWS_TIMESTAMP", "blob": "AWS_BLOB",
}
PROTOCOLS = {"query": "AWS_QUERY", "json1.0": "AWS_JSON_10", "json1.1": "AWS_JSON_11"}
PLAIN = re.compile(r"^\w+$")


class Texts:
    """All names in one text; equal ones are there once.  Place 0 is the empty one."""

    def __init__(self):
        self.places, self.all, self.size = {"": 0}, [""], 1

    def place(self, text):
        if text is None:
            return 0
        if text not in self.places:
            self.places[text] = self.size
            self.all.append(text)
            self.size += len(text.encode()) + 1
        return self.places[text]


def literal(text):
    """A C string literal; what is not printable, and the '?' of a trigraph, by its octal number."""
    return '"' + "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode()) + '"'


def hash_name(name):
    """FNV-1a, as model.c does it."""
    value = 2166136261
    for byte in name.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def merge(into, more):
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


class Model:
    """The files of one service."""

    def __init__(self, data, name, supplement, read):
        folder = os.path.join(data, name)
        folder = os.path.join(folder, max(os.listdir(folder)))

        def load(file):
            path = os.path.join(folder, file)
            if not os.path.exists(path):
                return {}
            read.append(path)
            with open(path, encoding="utf-8") as stream:
                return json.load(stream)

        self.name = name
        self.service = load("service-2.json")
        merge(self.service, load("service-2.sdk-extras.json").get("merge", {}))
        merge(self.service, supplement.get("service", {}))
        self.pages = load("paginators-1.json").get("pagination", {})
        self.pages.update(supplement.get("pagination", {}))


class Table:
    """What table.c will hold; lines of C, one element each."""

    def __init__(self):
        self.text = Texts()
        self.shapes, self.members, self.values, self.errors = [], [], [], []
        self.slots, self.operations, self.services = [], [], []
        self.add_shape({"type": "structure", "members": {}}, "", {})

    def add(self, model):
        numbers = {name: len(self.shapes) + i for i, name in enumerate(model.service["shapes"])}
        for name, shape in model.service["shapes"].items():
            self.add_shape(shape, name, numbers)
        self.add_service(model, numbers)

    def add_shape(self, shape, name, numbers):
        members, values = self.list_members(shape), shape.get("enum", [])
        first = len(self.values) if values else len(self.members)
        slots, mask = self.add_slots([name for name, _, _ in members] if shape["type"] == "structure" else [])
        for member_name, member, required in members:
            self.add_member(member_name, member, required, numbers)
        self.values += [self.text.place(value) for value in values]
        error = shape.get("error", {})
        flags = [flag for flag, there in (
            ("AWS_HAS_MIN", "min" in shape), ("AWS_HAS_MAX", "max" in shape), ("AWS_FLATTENED", shape.get("flattened")),
            ("AWS_SENSITIVE", shape.get("sensitive")), ("AWS_SENDER_FAULT", error.get("senderFault"))) if there]
        status = error.get("httpStatusCode", 500 if shape.get("fault") else 400)
        code = error.get("code", name) if shape.get("exception") or error else None
        self.shapes.append((
            int(shape.get("min", 0)), int(shape.get("max", 0)), self.text.place(name), self.text.place(shape.get("pattern")),
            first, self.text.place(code), slots, len(members) + len(values), mask, status if code else 0,
            TYPES[shape["type"]], " | ".join(flags) or 0))

    @staticmethod
    def list_members(shape):
        """[(name, reference, required)] of whatever the shape holds."""
        if shape["type"] == "list":
            return [("member", shape["member"], False)]
        if shape["type"] == "map":
            return [("key", shape["key"], False), ("value", shape["value"], False)]
        required = shape.get("required", [])
        return [(name, member, name in required) for name, member in shape.get("members", {}).items()]

    def add_member(self, name, member, required, numbers):
        location = member.get("locationName", name)
        flags = [flag for flag, there in (
            ("AWS_REQUIRED", required), ("AWS_ATTRIBUTE", member.get("xmlAttribute"))) if there]
        self.members.append((self.text.place(name), self.text.place(location), numbers[member["shape"]], len(name),
                             len(location), " | ".join(flags) or 0))

    def add_slots(self, names):
        """A hash table with linear probing, at most half full: its place and its mask."""
        if not names:
            return 0, 0
        size = 2
        while size < 2 * len(names):
            size *= 2
        slots = [0] * size
        for number, name in enumerate(names):
            at = hash_name(name) % size
            while slots[at]:
                at = (at + 1) % size
            slots[at] = number + 1
        self.slots += slots
        return len(self.slots) - size, size - 1

    def add_service(self, model, numbers):
        about, place = model.service["metadata"], self.text.place
        protocol = about["protocol"]
        if protocol == "json":
            protocol += about["jsonVersion"]
        first = len(self.operations)
        for name, operation in sorted(model.service["operations"].items()):
            self.add_operation(name, operation, model, numbers)
        page = about.get("page", {})
        self.services.append((
            place(model.name), place(about.get("signingName", about["endpointPrefix"])), place(about["apiVersion"]),
            place(about["targetPrefix"]), place(about.get("xmlNamespace")),
            place(about.get("jsonNamespace", "com.amazonaws." + model.name.replace("-", ""))), first,
            len(self.operations) - first, page.get("min", 0), page.get("max", 0), page.get("default", 0),
            PROTOCOLS[protocol], about.get("wording", "AWS_CORAL")))

    def add_operation(self, name, operation, model, numbers):
        page, given = model.pages.get(name, {}), operation.get("input", {}).get("shape")
        members = model.service["shapes"][given].get("members", {}) if given else {}
        token = next((member for member, about in members.items() if about.get("idempotencyToken")), None)
        errors = len(self.errors)
        self.errors += [numbers[error["shape"]] for error in operation.get("errors", [])]
        self.operations.append((
            self.text.place(name), errors, len(self.errors) - errors, len(self.services),
            numbers.get(given, 0), numbers.get(operation.get("output", {}).get("shape"), 0),
            *(self.place_plain(page.get(key)) for key in
              ("input_token", "output_token", "limit_key", "more_results", "result_key")), self.text.place(token)))

    def place_plain(self, name):
        """Of several results the first; what is not a member's name but a path is none."""
        if isinstance(name, list):
            name = name[0]
        return self.text.place(name) if name and PLAIN.match(name) else 0


def write_array(out, kind, name, elements):
    out.write(f"const {kind} {name}[] = {{\n")
    for element in elements or [0]:
        out.write("\t" + ("{" + ", ".join(map(str, element)) + "}" if isinstance(element, tuple) else str(element)) + ",\n")
    out.write("};\n\n")


def write_table(out, table):
    out.write("/* Made by generate.py.  What it means: model.h. */\n#include \"aws/model.h\"\n\n")
    out.write("const char aws_text[] =\n")
    for text in table.text.all:
        out.write(f'\t{literal(text)} "\\0"\n')
    out.write(";\n\n")
    for kind, name, elements in (
            ("struct aws_shape", "aws_shapes", table.shapes), ("struct aws_member", "aws_members", table.members),
            ("uint32_t", "aws_values", table.values), ("uint16_t", "aws_errors", table.errors),
            ("uint16_t", "aws_slots", table.slots), ("struct aws_operation", "aws_operations", table.operations),
            ("struct aws_service", "aws_services", table.services)):
        write_array(out, kind, name, elements)
    for name, elements in (("shape", table.shapes), ("operation", table.operations), ("service", table.services)):
        out.write(f"const unsigned aws_{name}_count = {len(elements)};\n")


def find_data():
    try:
        import botocore
    except ImportError:
        sys.exit(f"{sys.executable} has no botocore; please install the package python3-botocore")
    return os.path.join(os.path.dirname(botocore.__file__), "data")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--depfile", required=True)
    parser.add_argument("--supplement", required=True)
    parser.add_argument("--data")
    parser.add_argument("services", nargs="+")
    options = parser.parse_args()

    with open(options.supplement, encoding="utf-8") as stream:
        supplement = json.load(stream)
    data, read, table = options.data or find_data(), [options.supplement], Table()
    for name in options.services:
        table.add(Model(data, name, supplement.get(name, {}), read))
    if len(table.shapes) > 0xFFFF:
        sys.exit("more shapes than 16 bits can number: widen them in model.h")
    with open(options.out, "w", encoding="utf-8") as out:
        write_table(out, table)
    with open(options.depfile, "w", encoding="utf-8") as out:
        out.write(f"{options.out}: {' '.join(read)}\n")


if __name__ == "__main__":
    main()
