"""What a volume file says before ITK mends it.

ITK reads a NIfTI spacing of 0 or NaN as 1 mm, a negative spacing as a flipped axis, a file that was cut off
as if the rest were zeros, packed voxels without a look at their checksum, and a NaN voxel as 0, which is
water. A measurement made from such a volume is invented, so the files are looked at first. Field offsets:
nifti1.h and nifti2.h (https://nifti.nimh.nih.gov); MetaImage and NRRD headers are text
(https://teem.sourceforge.net/nrrd/format.html).
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from liverseg.errors import InputRefused

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
WHAT_TO_GIVE = f"give a {', '.join(IMAGE_SUFFIXES)} file or a folder of DICOM files"
_GZIP_MAGIC = b"\x1f\x8b"
_TEXT_HEADER_BYTES = 65536
_NIFTI1_BYTES, _NIFTI2_BYTES = 348, 540
_UNIT_MM = 2
_FLOAT_DATATYPES = {16: "f4", 64: "f8"}
_BLOCK_BYTES = 1 << 22
# Of packed bytes: empty label maps unpack to a thousand times as many.
_PACKED_BLOCK_BYTES = 1 << 16
# zlib's word for either of its two forms, with a zlib or a gzip header.
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """The fields of a NIfTI-1 or NIfTI-2 header that decide about geometry and size.

    Attributes:
        byte_order: ``"<"`` or ``">"``.
        version: 1 or 2.
        dim: number of voxels along i, j, k, ...
        pixdim: voxel sizes along i, j, k as written, in the header's unit.
        datatype: NIfTI's code of the voxels' type.
        data_bytes: bytes of the voxels.
        data_offset: where they start.
        unit_is_mm: whether the header's unit is mm (or unsaid).
        qform_code, sform_code: 0 when the form is not used.
        sform: 3x4, voxel indices (i, j, k) to RAS.
    """

    byte_order: str
    version: int
    dim: tuple[int, ...]
    pixdim: tuple[float, ...]
    datatype: int
    data_bytes: int
    data_offset: int
    unit_is_mm: bool
    qform_code: int
    sform_code: int
    sform: np.ndarray


def suffix_of(path: Path) -> str | None:
    """The known suffix that a file name ends in, or None."""
    name = path.name.lower()
    return next((s for s in sorted(IMAGE_SUFFIXES, key=len, reverse=True) if name.endswith(s)), None)


def check_header(path: Path) -> NiftiHeader | None:
    """Refuse a file whose header cannot be trusted.

    Args:
        path: an existing file with one of ``IMAGE_SUFFIXES``.

    Returns:
        The header of a NIfTI file, None for the other formats.

    Raises:
        InputRefused: not an image of that format, damaged, cut off, or with a zero, negative or NaN spacing
            or a singular matrix.
        OSError: it cannot be opened.
    """
    if path.stat().st_size == 0:
        raise InputRefused(f"{path.name} is empty (0 bytes): copy or export it again.")
    suffix = suffix_of(path)
    if suffix in (".nii", ".nii.gz"):
        header = _nifti_header(path)
        _check_spacing(path, header.pixdim)
        if header.sform_code > 0:
            _check_matrix(path, header.sform[:, :3])
        _check_nifti_length(path, header)
        return header
    with path.open("rb") as file:
        text = file.read(_TEXT_HEADER_BYTES).decode("latin-1")
    if suffix == ".nrrd":
        _check_nrrd(path, text)
    else:
        _check_metaimage(path, text)
    return None


def cannot_open(shown: object, error: OSError) -> InputRefused:
    """The refusal of a file or folder that the system does not open; ``shown`` is what to call it."""
    if isinstance(error, PermissionError):
        return InputRefused(
            f"{shown} cannot be opened: permission to read is missing; ask its owner, or give a copy that "
            "you may read."
        )
    return InputRefused(f"{shown} cannot be opened ({error.strerror or error}).")


def _open(path: Path) -> gzip.GzipFile:
    """A NIfTI file for reading, unpacked when its first bytes say so (whatever its name says)."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _not_an_image(path: Path, kind: str) -> InputRefused:
    return InputRefused(f"{path.name} is not an image ({kind} header not found): {WHAT_TO_GIVE}.")


def _cut_off(path: Path) -> InputRefused:
    return InputRefused(f"{path.name} is damaged or cut off before its last voxel: copy or export it again.")


def _nifti_header(path: Path) -> NiftiHeader:
    try:
        with _open(path) as file:
            raw = file.read(_NIFTI2_BYTES)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _not_an_image(path, "NIfTI") from error
    for order in "<>":
        if len(raw) >= _NIFTI1_BYTES and struct.unpack_from(order + "i", raw)[0] == _NIFTI1_BYTES:
            if raw[344:347] not in (b"n+1", b"ni1"):
                break
            return _fields(raw, order, 1)
        if len(raw) >= _NIFTI2_BYTES and struct.unpack_from(order + "i", raw)[0] == _NIFTI2_BYTES:
            return _fields(raw, order, 2)
    raise _not_an_image(path, "NIfTI")


def _fields(raw: bytes, order: str, version: int) -> NiftiHeader:
    formats = {
        1: {"dim": (40, "8h"), "bits": (72, "h"), "pix": (76, "8f"), "off": (108, "f"), "unit": (123, "b")}
        | {"type": (70, "h"), "q": (252, "h"), "s": (254, "h"), "rows": (280, "12f")},
        2: {"dim": (16, "8q"), "bits": (14, "h"), "pix": (104, "8d"), "off": (168, "q"), "unit": (500, "i")}
        | {"type": (12, "h"), "q": (344, "i"), "s": (348, "i"), "rows": (400, "12d")},
    }[version]
    got = {name: struct.unpack_from(order + code, raw, at) for name, (at, code) in formats.items()}
    rank = min(max(int(got["dim"][0]), 0), 7)
    dim = tuple(int(n) for n in got["dim"][1 : 1 + rank])
    voxels = int(np.prod([max(n, 1) for n in dim], dtype=object)) if dim else 0
    offset = got["off"][0]
    return NiftiHeader(
        byte_order=order,
        version=version,
        dim=dim,
        pixdim=tuple(float(p) for p in got["pix"][1 : 1 + min(rank, 3)]),
        datatype=int(got["type"][0]),
        data_bytes=voxels * int(got["bits"][0]) // 8,
        data_offset=int(offset) if np.isfinite(offset) else 0,
        unit_is_mm=(int(got["unit"][0]) & 7) in (0, _UNIT_MM),
        qform_code=int(got["q"][0]),
        sform_code=int(got["s"][0]),
        sform=np.array(got["rows"], dtype=np.float64).reshape(3, 4),
    )


def _check_spacing(path: Path, spacing: tuple[float, ...]) -> None:
    if all(np.isfinite(s) and s > 0 for s in spacing):
        return
    shown = " x ".join(f"{s:g}" for s in spacing)
    raise InputRefused(
        f"{path.name}: the header's voxel spacing is {shown} mm; a zero, negative or NaN spacing gives no "
        "true sizes: export the scan again from its DICOM files."
    )


def _check_matrix(path: Path, matrix: np.ndarray) -> None:
    """``matrix``: 3x3, its columns the steps along i, j, k in mm."""
    lengths = np.linalg.norm(matrix, axis=0) if np.isfinite(matrix).all() else np.zeros(3)
    # Columns of unit length: the determinant is the volume of the cell, 1 for right angles.
    if (lengths > 0).all() and abs(np.linalg.det(matrix / lengths)) > 1e-3:
        return
    raise InputRefused(
        f"{path.name}: the matrix from voxels to the patient is singular or NaN: export the scan again "
        "from its DICOM files."
    )


def _check_nifti_length(path: Path, header: NiftiHeader) -> None:
    """Refuse a file with fewer bytes than its header promises; ITK would fill the rest."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        length = _gzip_length(path, file) if packed else path.stat().st_size
    if length < header.data_offset + header.data_bytes:
        raise _cut_off(path)


def _gzip_length(path: Path, file: BinaryIO) -> int:
    """How many bytes the rest of a file unpacks to, all of which the checksums at its end are held against.

    Raises:
        InputRefused: it is damaged or cut off.
    """
    length = 0
    try:
        with gzip.GzipFile(fileobj=file) as unpacked:
            while block := unpacked.read(_BLOCK_BYTES):
                length += len(block)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _cut_off(path) from error
    return length


def _check_zlib(path: Path, file: BinaryIO) -> None:
    """Refuse a file whose rest is no whole zlib stream with the right checksum at its end."""
    stream = zlib.decompressobj(_ZLIB_OR_GZIP)
    try:
        while not stream.eof and (block := file.read(_PACKED_BLOCK_BYTES)):
            stream.decompress(block)
    except zlib.error as error:
        raise _cut_off(path) from error
    if not stream.eof:
        raise _cut_off(path)


def non_finite_voxels(path: Path, header: NiftiHeader) -> np.ndarray:
    """Flat indices, i running fastest, of the voxels that are NaN or infinite in the file."""
    kind = _FLOAT_DATATYPES.get(header.datatype)
    if kind is None:
        return np.zeros(0, dtype=np.int64)
    dtype = np.dtype(header.byte_order + kind)
    found, first, left = [], 0, header.data_bytes
    with _open(path) as file:
        file.seek(header.data_offset)
        while left > 0 and (block := file.read(min(_BLOCK_BYTES, left))):
            values = np.frombuffer(block, dtype=dtype)
            found.append(first + np.flatnonzero(~np.isfinite(values)))
            first += values.size
            left -= len(block)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _check_nrrd(path: Path, text: str) -> None:
    if not text.startswith("NRRD"):
        raise _not_an_image(path, "NRRD")
    end = re.search(r"\r?\n\r?\n", text)
    header = text[: end.start()] if end else text
    spacings = re.search(r"^spacings:(.*)$", header, re.MULTILINE)
    if spacings:
        values = [_number(v) for v in spacings[1].split()]
        # "nan" is NRRD's word for an axis without a spacing, as that of a time or a list.
        _check_spacing(path, tuple(values[-3:]))
    directions = re.search(r"^space directions:(.*)$", header, re.MULTILINE)
    if directions:
        vectors = re.findall(r"\(([^)]*)\)", directions[1])
        matrix = np.array(
            [[_number(v) for v in vector.split(",")] for vector in vectors if vector.count(",") == 2]
        )
        if matrix.shape == (3, 3):
            if np.isfinite(matrix).all():
                _check_spacing(path, tuple(np.linalg.norm(matrix, axis=1)))
            _check_matrix(path, matrix.T)
    if re.search(r"^encoding:\s*(gzip|gz)\s*$", header, re.MULTILINE | re.IGNORECASE):
        _check_nrrd_packed(path, header, end.end() if end else None)


def _check_nrrd_packed(path: Path, header: str, data_offset: int | None) -> None:
    """Refuse damaged voxels, packed with gzip after the header or in one file beside it."""
    if re.search(r"^(line|byte) ?skip:\s*[^0\s]", header, re.MULTILINE | re.IGNORECASE):
        return
    beside = re.search(r"^data ?file:\s*(.*?)\s*$", header, re.MULTILINE | re.IGNORECASE)
    if beside and (path.parent / beside[1]).is_file():
        with (path.parent / beside[1]).open("rb") as file:
            _gzip_length(path, file)
    elif not beside and data_offset is not None:
        with path.open("rb") as file:
            file.seek(data_offset)
            _gzip_length(path, file)


def _check_metaimage(path: Path, text: str) -> None:
    fields = dict(re.findall(r"^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t\r]*$", text, re.MULTILINE))
    if "NDims" not in fields or "ElementDataFile" not in fields:
        raise _not_an_image(path, "MetaImage")
    for key in ("ElementSpacing", "ElementSize"):
        if key in fields:
            _check_spacing(path, tuple(_number(v) for v in fields[key].split()[:3]))
            break
    for key in ("TransformMatrix", "Rotation", "Orientation"):
        values = [_number(v) for v in fields.get(key, "").split()]
        if len(values) == 9:
            _check_matrix(path, np.array(values).reshape(3, 3).T)
            break
    data = fields["ElementDataFile"]
    if data.startswith("LIST") or "%" in data:
        return
    local = data == "LOCAL"
    if not local and not (path.parent / data).is_file():
        raise InputRefused(f"{path.name}: its voxels should lie in {data} beside it, which is missing.")
    if fields.get("CompressedData", "").lower() == "true" and fields.get("HeaderSize", "0") == "0":
        with (path if local else path.parent / data).open("rb") as file:
            file.seek(text.find("\n", text.index("ElementDataFile")) + 1 if local else 0)
            _check_zlib(path, file)
