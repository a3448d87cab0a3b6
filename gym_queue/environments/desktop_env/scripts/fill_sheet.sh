mkdir -p Documents
ssconvert "$files/budget.csv" Documents/budget.gnumeric >/dev/null 2>&1
opened budget.gnumeric gnumeric --no-splash Documents/budget.gnumeric
