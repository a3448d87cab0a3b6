"""Files moved and renamed, each with what it held."""

from desktop_checks import read_text, verdict

MONTHS = ("january", "february", "march")
RECEIPT = "Receipt of the bicycle shop\n"


def verify(traj, env_info, task_info):
    names = set(env_info["exec_capture"]("cd Inbox && find . -type f").split())
    moved = {f"./Invoices/invoice_{month}.txt" for month in MONTHS}

    def holds(path, content):
        return path in names and read_text(env_info, f"Inbox/{path}") == content

    invoices = [holds(f"./Invoices/invoice_{month}.txt", f"Invoice for {month}\n") for month in MONTHS]
    return verdict(
        {
            "the three invoices are in the folder Invoices, and nowhere else": all(invoices)
            and not any("invoice_" in name for name in names - moved),
            "the scan is named bicycle_receipt.txt": holds("./bicycle_receipt.txt", RECEIPT)
            and "./scan0001.txt" not in names,
        },
        {
            "minutes.txt is where it was": holds("./minutes.txt", "Minutes of the meeting\n"),
            "there is nothing else": len(names) <= 5,
        },
    )
