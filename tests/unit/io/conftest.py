import io
import json
import pickle
import zipfile

import pytest


@pytest.fixture
def raw_safetensors(tmp_path):
    """Write a safetensors file byte by byte: a header (dict, str or bytes), then data."""

    def write(header, data=b"", *, length=None, name="model.safetensors"):
        if isinstance(header, dict):
            header = json.dumps(header)
        if isinstance(header, str):
            header = header.encode()
        size = len(header) if length is None else length
        path = tmp_path / name
        path.write_bytes(size.to_bytes(8, "little") + header + data)
        return path

    return write


@pytest.fixture
def raw_torch(tmp_path):
    """Write a torch zip around a pickle (bytes, or an object), with these storages."""

    def write(pickled, storages=None, *, name="model.pt", compression=zipfile.ZIP_STORED, extra=()):
        if not isinstance(pickled, bytes):
            buffer = io.BytesIO()
            pickle.Pickler(buffer, protocol=2).dump(pickled)
            pickled = buffer.getvalue()
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("model/data.pkl", pickled)
            for key, data in (storages or {}).items():
                archive.writestr(f"model/data/{key}", data)
            for key, data in extra:
                archive.writestr(key, data)
        return path

    return write
