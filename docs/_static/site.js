// What the generator and its theme leave out, for those who read with the keyboard or a screen reader.
for (const caption of document.querySelectorAll("p.caption[role=heading]")) caption.ariaLevel = "2";
for (const list of document.querySelectorAll(".sig dl")) list.role = "presentation"; // parameters, one a line
for (const cell of document.querySelectorAll("th")) if (!cell.textContent.trim()) cell.role = "cell";
document.querySelector(".sidebar-drawer").ariaLabel = "All pages";
document.querySelector(".toc-drawer").ariaLabel = "On this page";

const scrolling = new ResizeObserver((boxes) => {
  for (const { target } of boxes) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const box of document.querySelectorAll("article pre, article .table-wrapper, article .math")) scrolling.observe(box);

if (!document.querySelector("h1")) { // the page of search has none of its own
  const title = document.createElement("h1");
  title.textContent = "Search";
  document.querySelector("article").prepend(title);
}
