// Drives the status page in a real Chromium. usage: drive.mjs URL FOLDER busy|broken
//
// Each check throws. Lines on standard output tell the test how far it is; screenshots go to the folder.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const modules = process.env.BROWSER_MODULES;
const require = createRequire(join(modules, "/"));
const { chromium } = require("playwright-core");
const axe = readFileSync(join(modules, "axe-core/axe.min.js"), "utf8");

const [url, folder, state] = process.argv.slice(2);
const SIZES = { desktop: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } };
const HOSTILE = "<img src=x onerror=hacked=1><script>hacked=1</script>";
const EVENT = JSON.stringify({
  metadata: { name: "<b>web</b>", namespace: "shop" }, type: "Warning", reason: "BackOff",
  involvedObject: { kind: "Pod", name: "web-0" }, message: HOSTILE, count: 7,
});

const browser = await chromium.launch({
  executablePath: process.env.BROWSER,
  args: process.getuid() === 0 ? ["--no-sandbox"] : [],
});
try {
  for (const [size, viewport] of Object.entries(SIZES)) {
    // What is broken looks no other: once each is enough.
    const schemes = state === "busy" ? ["light", "dark"] : [size === "phone" ? "dark" : "light"];
    for (const colorScheme of schemes) {
      await look(`${state}-${size}-${colorScheme}`, { viewport, colorScheme });
    }
  }
} finally {
  await browser.close();
}

async function look(name, options) {
  const { page, trouble } = await open(options);
  if (state === "broken") await broken(page);
  else await busy(page, name);
  await fits(page);
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  // What is no event is refused, which browsers tell of.
  const refusals = trouble.filter((it) => /status of 400/.test(it));
  assert.equal(refusals.length, state === "busy" ? 1 : 0);
  assert.deepEqual(trouble.filter((it) => !refusals.includes(it)), [], name);
  await page.context().close();
  // What judges the page runs in it, which the page itself forbids.
  const judged = await open({ ...options, bypassCSP: true });
  if (state === "busy") await explain(judged.page, EVENT);
  await judged.page.evaluate(axe);
  const { violations } = await judged.page.evaluate("axe.run()");
  assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]), [], name);
  await judged.page.context().close();
}

// The page once it shows something, and what it must not do: ask others, break its policy, fail.
async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const trouble = [];
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== url && !request.url().startsWith("data:")) trouble.push(`asks ${request.url()}`);
  });
  page.on("console", (message) => { if (message.type() !== "log") trouble.push(message.text()); });
  page.on("pageerror", (error) => trouble.push(String(error)));
  page.on("dialog", (dialog) => { trouble.push(`says ${dialog.message()}`); dialog.dismiss(); });
  await page.addInitScript(() => addEventListener("securitypolicyviolation", (it) => console.error(`${it.violatedDirective}: ${it.blockedURI}`)));
  await page.goto(url);
  await page.locator("#receivers [role=row]").first().waitFor();
  return { page, trouble };
}

async function fits(page) {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `${content} pixels on ${window}`);
}

async function busy(page, name) {
  assert.equal(await page.locator("#state").textContent(), "delivering");
  assert.equal(await page.locator("#receivers [role=row]").count(), 2);
  // Hostile text is text.
  await page.locator("#rows").getByText(HOSTILE).first().waitFor();
  assert.equal(await page.locator("img").count(), 0);
  assert.equal(await page.evaluate("typeof hacked"), "undefined");
  // It is live: the test makes an event of that name now.
  console.log(`ready ${name}`);
  await page.locator("#rows").getByText(name).first().waitFor();
  await page.locator(".rule .hits").filter({ hasText: /^[1-9]/ }).first().waitFor();
  await byKeyboard(page);
  await verdicts(page);
  // What is wrong is said.
  await explain(page, "{}");
  assert.match(await page.locator("#answer").textContent(), /no event/);
  assert.equal(await page.locator(".rule[data-verdict]").count(), 0);
  // One of the last.
  await page.locator("#rows button").first().click();
  await page.locator("#answer", { hasText: "goes to good" }).waitFor();
  assert.match(await page.locator("#event").inputValue(), /"involvedObject"/);
  assert.equal(await page.evaluate("typeof hacked"), "undefined");
  await page.locator("#pause").click();
  assert.equal(await page.locator("#pause").getAttribute("aria-pressed"), "true");
  await page.evaluate("scrollTo(0, 0)");
}

async function explain(page, text) {
  await page.locator("#event").fill(text);
  await page.locator("#explain button.main").click();
  await page.locator("#answer:not(:empty)").waitFor();
}

// From the top of the page to the answer by the keyboard alone.
async function byKeyboard(page) {
  for (let presses = 0; !await page.evaluate("document.activeElement.id === 'event'"); presses++) {
    assert.ok(presses < 20, "the form can't be reached");
    await page.keyboard.press("Tab");
  }
  await page.keyboard.insertText(EVENT);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.locator("#answer", { hasText: "goes to" }).waitFor();
}

async function verdicts(page) {
  assert.equal(await page.locator("#answer").textContent(), "shop/<b>web</b> goes to good, down");
  const rules = await page.locator(".rule").evaluateAll((nodes) => nodes.map((node) => [node.dataset.verdict, node.querySelector(".why").textContent]));
  assert.deepEqual(rules, [
    ["no", "No. reason: “BackOff” does not match ^Noise$"],
    ["yes", "Matches: to good"],
    ["yes", "Matches"],
    ["yes", "Matches: to down"],
    ["no", "No. kind: “Pod” does not match ^Node$"],
    ["unasked", "Not asked"],
  ]);
}

async function broken(page) {
  const problems = page.locator("#problems");
  await problems.getByText("The configuration was changed and can't be used").waitFor();
  await problems.getByText("down does not take events").waitFor();
  const news = await page.locator("#news").textContent();
  assert.match(news, /can't be used.*down does not take events/s);
}
