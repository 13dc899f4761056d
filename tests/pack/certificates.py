"""Certificates of a moment: an authority, and what it signs."""
import subprocess
from pathlib import Path


class Authority:
    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate = folder / f"{name}.pem"
        self.openssl("req", "-x509", *self.new_key(name), "-subj", f"/CN={name}", "-days", "2", "-out", self.certificate)

    def new_key(self, name: str) -> list:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", self.folder / f"{name}.key"]

    def sign(self, name: str, names: str) -> tuple[Path, Path]:
        """Certificate and key; names as in openssl's subjectAltName."""
        request, certificate, extension = (self.folder / f"{name}.{end}" for end in ("csr", "pem", "ext"))
        extension.write_text(f"subjectAltName={names}\n", encoding="ascii")
        self.openssl("req", *self.new_key(name), "-subj", f"/CN={name}", "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.folder / f"{self.name}.key",
                     "-CAcreateserial", "-days", "2", "-extfile", extension, "-out", certificate)
        return certificate, self.folder / f"{name}.key"

    @staticmethod
    def openssl(*words) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
