"""Two totals in a sheet, as formulas. The spreadsheet's own converter works them out."""

import csv
import gzip
from xml.etree import ElementTree

from desktop_checks import FILES, read_bytes, verdict

CELL = "{http://www.gnumeric.org/v10.dtd}Cell"
TO_CSV = "ssconvert -T Gnumeric_stf:stf_csv Documents/budget.gnumeric fd://1 2>/dev/null"


def formulas(env_info):
    """Return row and column of the cells that hold formulas, from 0."""
    packed = read_bytes(env_info, "Documents/budget.gnumeric")
    try:
        sheet = ElementTree.fromstring(gzip.decompress(packed or b""))
    except (OSError, EOFError, ElementTree.ParseError):
        return set()
    cells = sheet.iter(CELL)
    return {
        (int(cell.get("Row")), int(cell.get("Col")))
        for cell in cells
        if cell.get("ExprID") or (cell.text or "").startswith("=")
    }


def verify(traj, env_info, task_info):
    before = list(csv.reader((FILES / "budget.csv").read_text().splitlines()))
    after = list(csv.reader(env_info["exec_capture"](TO_CSV).splitlines()))
    found = formulas(env_info)
    total = after[6] if len(after) > 6 else []

    def adds_up(column):
        expected = sum(int(row[column]) for row in before[1:6])
        return (6, column) in found and total[column : column + 1] == [str(expected)]

    return verdict(
        {"a formula in B7 adds up B2 to B6": adds_up(1), "a formula in C7 adds up C2 to C6": adds_up(2)},
        {
            "the other cells are as they were": after[:6] == before[:6]
            and total[:1] == ["Total"]
            and len(after) == 7
        },
    )
