"""Files and lists: what becomes of them in a request, what a manifest may say of them, what a case proves."""

from __future__ import annotations

from tests.prove_red.row import Row

FILES = "tests/core/test_files.py"
LISTS = "tests/core/test_lists.py"
MISTAKES = "tests/catalogue/test_operation_mistakes.py"
COMPARE = "tests/sandbox/test_compare.py"
UPLOADS = "tests/sandbox/test_uploads.py"

ROWS = (
    Row(
        promise="Each file of a list is a part of its own.",
        file="sidecar/core/parts.py",
        good='contents = [of_base64(f"{parameter.name}/{at}", item) for at, item in enumerate(value)]',
        bad='contents = [b"".join(of_base64(f"{parameter.name}/{at}", item) for at, item in enumerate(value))]',
        tests=(f"{FILES}::test_a_list_of_files_is_a_part_each",),
    ),
    Row(
        promise="No file of a list goes by another one's name.",
        file="sidecar/core/parts.py",
        good="    if len(names) != count:",
        bad="    if len(names) < count:",
        tests=(f"{FILES}::test_what_is_wrong_with_files_is_told_by_its_place",),
    ),
    Row(
        promise="A list of files is bytes from the manifest on.",
        file="sidecar/catalogue/load.py",
        good='base64=field.is_bytes if field.place == "body" else field.content_encoding is not None',
        bad="base64=field.content_encoding is not None",
        tests=(f"{FILES}::test_a_list_of_files_is_a_part_each", f"{UPLOADS}::test_a_case_proves_an_upload"),
    ),
    Row(
        promise="A file's type is that of its name's ending, in any case of letters.",
        file="sidecar/core/multipart.py",
        good="return _types().get(PurePosixPath(file_name).suffix.lower(), UNKNOWN)",
        bad="return _types().get(PurePosixPath(file_name).suffix, UNKNOWN)",
        tests=(f"{FILES}::test_a_file_has_the_type_that_its_name_says",),
    ),
    Row(
        promise="No file of the machine says what a file's type is.",
        file="sidecar/core/multipart.py",
        good="return MimeTypes(()).types_map[True] | OWN_TYPES",
        bad='return __import__("mimetypes").types_map | OWN_TYPES',
        tests=(f"{FILES}::test_no_file_of_the_machine_says_a_type",),
    ),
    Row(
        promise="A fixed list is repeated in a query, a form and a multipart body.",
        file="sidecar/core/values.py",
        good="for name, value in fixed.items() for pair in pairs(name, None, value)]",
        bad='for name, value in fixed.items() for pair in pairs(name, "json", value)]',
        tests=(f"{LISTS}::test_a_fixed_list_is_repeated",),
    ),
    Row(
        promise="No item of a list climbs out of its place in a path.",
        file="sidecar/core/values.py",
        good='return ",".join(path_segment(f"{name}/{at}", item) for at, item in enumerate(value))',
        bad='return quote(",".join(map(as_text, value)), safe=",")',
        tests=(f"{LISTS}::test_a_list_in_a_path_has_commas",),
    ),
    Row(
        promise="A list in a header stays on its line.",
        file="sidecar/core/values.py",
        good='return ",".join(header_value(f"{name}/{at}", item) for at, item in enumerate(value))',
        bad='return ",".join(map(as_text, value))',
        tests=(f"{LISTS}::test_a_list_in_a_header_has_commas",),
    ),
    Row(
        promise="An empty fixed body is sent as an empty object.",
        file="sidecar/core/render.py",
        good="bool(self._whole or self._body or fixed.body is not None)",
        bad="bool(self._whole or self._body or fixed.body)",
        tests=(f"{LISTS}::test_an_empty_fixed_body_is_an_empty_object",),
    ),
    Row(
        promise="A list in a path or a header is no JSON: a manifest says commas or is refused.",
        file="sidecar/catalogue/input_mistakes.py",
        good='elif "array" in kinds and style != "comma":',
        bad='elif kinds == {"array"} and style != "comma":',
        tests=(f"{MISTAKES}::test_what_has_no_form_in_its_place_is_told",),
    ),
    Row(
        promise="A manifest that counts through a list in a JSON body is refused: it would make an object.",
        file="sidecar/catalogue/path_mistakes.py",
        good='INDEX = re.compile("-?[0-9]+")',
        bad='INDEX = re.compile("-?[1-9][0-9]*")',
        tests=(f"{MISTAKES}::test_a_place_in_a_list_is_told",),
    ),
    Row(
        promise="In a case bytes are not their base64.",
        file="sidecar/sandbox/parts.py",
        good="return _base64(part) if text is None else text",
        bad='return _base64(part)["base64"] if text is None else text',
        tests=(
            f"{COMPARE}::test_parts_that_differ_are_told",
            f"{UPLOADS}::test_a_case_that_says_another_upload_is_found",
        ),
    ),
    Row(
        promise="Of several parts of one name a case overlooks none.",
        file="sidecar/sandbox/parts.py",
        good="return items[0] if len(items) == 1 else items",
        bad="return items[-1]",
        tests=(
            f"{COMPARE}::test_parts_that_differ_are_told",
            f"{UPLOADS}::test_a_case_that_says_another_upload_is_found",
        ),
    ),
    Row(
        promise="A case that names a part's file name or type compares it.",
        file="sidecar/sandbox/parts.py",
        good="return content | {key: value for key, value in beside.items() if getattr(like, key) is not None}",
        bad="return content | {key: getattr(like, key) for key in beside if getattr(like, key) is not None}",
        tests=(f"{COMPARE}::test_parts_that_differ_are_told",),
    ),
)
