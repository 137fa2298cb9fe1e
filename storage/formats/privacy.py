"""What a DICOM header says about a person, kept only to keep it out of names, paths and messages."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath

from pydicom.dataset import Dataset

NAMES = (
    "PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ReferringPhysicianName",
    "PerformingPhysicianName", "OperatorsName", "RequestingPhysician", "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy", "ResponsiblePerson",
)  # fmt: skip
NUMBERS = (
    "PatientID", "OtherPatientIDs", "AccessionNumber", "MedicalRecordLocator", "AdmissionID", "StudyID",
    "PatientTelephoneNumbers", "PatientAddress", "InstitutionName", "RequestedProcedureID", "IssuerOfPatientID",
)  # fmt: skip
DATES = ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
IDENTIFYING = (*NAMES, *NUMBERS, *DATES)
UID = re.compile(r"\d+(\.\d+){5,}")
SHORTEST = 3  # a shorter value must be a whole word of the path to count, a longer one may be part of one


@dataclass
class Identities:
    """Normalised identifying values of every header seen in one import. Never stored, never shown."""

    salt: str  # the project's own: the same series gets the same name again, and no outsider can guess it
    values: set[str] = field(default_factory=set)

    def learn(self, header: Dataset) -> bool:
        """Remember what a header says; whether it names a patient at all."""
        for keyword in IDENTIFYING:
            for value in _values(header, keyword):
                found = _spellings(value, is_date=keyword in DATES, is_name=keyword in NAMES)
                short_counts = (
                    keyword in NAMES or keyword == "PatientID"
                )  # a study "1" is in every other path
                self.values |= {v for v in found if short_counts or len(v) >= SHORTEST}
        return any(_values(header, keyword) for keyword in ("PatientName", "PatientID"))

    def in_path(self, path: PurePath | str) -> bool:
        """Whether any part of this path gives a known person away."""
        words, joined = _words(str(path))
        return bool(UID.search(str(path))) or any(
            (v in joined) if len(v) >= SHORTEST else (v in words) for v in self.values
        )

    def pseudonym(self, key: str) -> str:
        """Eight hex digits that say nothing about the key without the project's salt."""
        return hashlib.blake2b(key.encode(), key=self.salt.encode()[:64], digest_size=4).hexdigest()


def _values(header: Dataset, keyword: str) -> Iterable[str]:
    value = header.get(keyword)
    if value is None or value == "":
        return []
    items = value if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue" else [value]
    return [str(item) for item in items if str(item).strip()]


def _spellings(value: str, *, is_date: bool, is_name: bool) -> set[str]:
    if is_date:
        digits = re.sub(r"\D", "", value)[:8]
        year, month, day = digits[:4], digits[4:6], digits[6:8]
        orders = (year + month + day, day + month + year, month + day + year, year[2:] + month + day)
        return {o for o in orders if len(digits) == 8}
    parts = re.split(r"[\^=\s,;]+", value) if is_name else [value, *_numbered_parts(value)]
    return {spelling for part in parts for spelling in _plain(part) if spelling}


def _numbered_parts(value: str) -> list[str]:
    """Of an id like QX-4711 the parts that could stand alone in a path."""
    return [
        part for part in re.split(r"[\W_]+", value) if len(part) > SHORTEST and any(c.isdigit() for c in part)
    ]


def _plain(text: str) -> set[str]:
    """Lower case, letters and digits only; umlauts both as bare letters and written out."""
    written_out = text.casefold().translate({ord("ä"): "ae", ord("ö"): "oe", ord("ü"): "ue"})
    return {re.sub(r"[\W_]+", "", _bare(t)) for t in (text, written_out)}


def _bare(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in folded if not unicodedata.combining(c))


def _words(path: str) -> tuple[set[str], str]:
    return set(re.findall(r"[^\W\d_]+|\d+", _bare(path))), "|".join(sorted(_plain(path)))
