'use strict';
const body = document.querySelector('tbody'), rows = [...body.rows];
const words = document.getElementById('words'), ending = document.getElementById('ending'), by = document.getElementById('by');
const shown = document.getElementById('shown');
function filter() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !wanted.every(word => text.includes(word)) || (ending.value !== '' && row.dataset.ending !== ending.value);
    row.style.display = row.hidden ? 'none' : '';
    count += row.hidden ? 0 : 1;
  }
  shown.textContent = count + ' of ' + rows.length;
}
function sort(column, descending) {
  const key = row => row.cells[column].dataset.key;
  const number = rows.every(row => key(row) === '' || !Number.isNaN(Number(key(row))));
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === '' || y === '') return (x === '') - (y === '');
    const order = number ? Number(x) - Number(y) : x.localeCompare(y);
    return descending ? -order : order;
  };
  rows.sort(compare);
  rows.forEach(row => body.append(row));
  document.querySelectorAll('th').forEach((head, at) => {
    if (at === column) head.setAttribute('aria-sort', descending ? 'descending' : 'ascending'); else head.removeAttribute('aria-sort');
  });
  by.value = column + (descending ? '-' : '+');
  if (by.value === '') by.selectedIndex = -1;
}
document.querySelectorAll('th').forEach((head, at) => {
  const button = head.querySelector('button');
  if (button) button.addEventListener('click', () => sort(at, head.getAttribute('aria-sort') === 'ascending' || (!head.hasAttribute('aria-sort') && head.dataset.first === 'descending')));
});
by.addEventListener('change', () => sort(parseInt(by.value, 10), by.value.endsWith('-')));
words.addEventListener('input', filter);
ending.addEventListener('change', filter);
document.querySelectorAll('.bar').forEach(bar => { bar.hidden = false; });
filter();
