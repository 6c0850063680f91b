"""The files: a mesh in millimetres becomes binary STL or binary glTF."""

from __future__ import annotations

from typing import Any

import numpy as np
import trimesh
import trimesh.visual.material

from recoup.pipelines.relief.mesh import Mesh

_STL_FACE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attributes", "<u2")])
_STL_HEADER_BYTES = 80
#: Fine plaster: white, and no mirror.
_MATERIAL = {"name": "plaster", "baseColorFactor": [233, 229, 220, 255], "metallicFactor": 0.0, "roughnessFactor": 0.85}
_METRES_PER_MM = 0.001
#: Much of trimesh has no annotations.
_untyped: Any = trimesh


def stl(mesh: Mesh) -> bytes:
    """Binary STL: no unit in the file, by custom millimetres; the relief lies on z = 0 and looks up."""
    faces = np.zeros(len(mesh.faces), dtype=_STL_FACE)
    faces["corners"] = corners = mesh.points.astype(np.float32)[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    faces["normal"] = np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)
    header = b"recoup relief, millimetres".ljust(_STL_HEADER_BYTES)
    return header + len(faces).to_bytes(4, "little") + faces.tobytes()


def glb(mesh: Mesh) -> bytes:
    """Binary glTF 2.0: metres, y up; the relief stands upright and looks towards +z, the viewer."""
    visual = _untyped.visual.TextureVisuals(material=_untyped.visual.material.PBRMaterial(**_MATERIAL))
    body = _untyped.Trimesh(mesh.points * _METRES_PER_MM, mesh.faces, process=False, visual=visual)
    exported: bytes = _untyped.Scene({"relief": body}).export(file_type="glb", include_normals=False)
    return exported
