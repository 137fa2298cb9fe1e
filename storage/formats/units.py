"""Units of length by the names that files use for them, in millimetres."""

MM = {
    "pm": 1e-9, "Å": 1e-7, "nm": 1e-6, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "microns": 1e-3,
    "micrometer": 1e-3, "micrometre": 1e-3, "micrometers": 1e-3, "mm": 1.0, "millimeter": 1.0, "millimetre": 1.0,
    "millimeters": 1.0, "cm": 10.0, "centimeter": 10.0, "dm": 100.0, "m": 1000.0, "meter": 1000.0, "metre": 1000.0,
    "inch": 25.4, "in": 25.4, "nanometer": 1e-6,
}  # fmt: skip


def millimetres(unit: str) -> float | None:
    """How many are in one of this unit; None for a name that is no length, such as "pixel"."""
    name = unit.strip().strip('"').strip().replace("\\u00B5", "µ")
    return MM.get(name, MM.get(name.lower().removeprefix("met_distance_units_")))
