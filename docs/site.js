// A page that moves is as dark as the page around it, and as high as it says.
const frames = () => [...document.querySelectorAll("iframe.moving")];

function tell() {
  const scheme = document.body.dataset.mdColorScheme === "slate" ? "dark" : "light";
  for (const frame of frames()) {
    const [address] = frame.src.split("#");
    if (frame.src !== `${address}#${scheme}`) frame.src = `${address}#${scheme}`;
  }
}

addEventListener("message", ({ source, data }) => {
  const frame = frames().find(each => each.contentWindow === source);
  if (frame && Number.isFinite(data?.height)) frame.style.height = `${data.height + 2}px`;
});
new MutationObserver(tell).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
tell();

// What Material leaves without a name.
document.querySelector(".md-search")?.setAttribute("aria-label", "Search");

// A table that is wider than the page scrolls, by keyboard too. Material wraps it once the page is there.
const article = document.querySelector("article");
const reach = () => article.querySelectorAll(".md-typeset__scrollwrap").forEach(each => { each.tabIndex = 0; });
new MutationObserver(reach).observe(article, { childList: true, subtree: true });
reach();
