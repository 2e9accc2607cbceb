/**
 * The chat: puts its parts together.
 */

import { copyText } from "./code_view.js";
import { Composer } from "./chat_composer.js";
import { Library } from "./chat_library.js";
import { Log } from "./chat_log.js";
import { Models } from "./chat_models.js";
import { Picker } from "./chat_picker.js";
import { askSettings } from "./chat_settings.js";
import { Sidebar } from "./chat_sidebar.js";
import { Store } from "./chat_store.js";
import { icon } from "./dom.js";
import { forgetKey, hasKey } from "./gateway.js";
import { Toast } from "./toast.js";

const find = (id) => document.getElementById(id);

async function main() {
  const announce = (text) => {
    find("state").textContent = text;
  };
  const toast = new Toast(find("toast"));
  const models = new Models();
  const picker = new Picker(find("picker"), models);
  models.listen(new AbortController().signal);
  const composer = new Composer(find("composer"), (text) => toast.show(text));
  let store;
  try {
    store = await Store.open();
  } catch {
    toast.show("This browser keeps no data here (a private window?), so there is no chat.");
    return;
  }
  const library = new Library(store, { announce, toast });
  const session = () => library.session;

  const log = new Log(find("log"), find("to-end"), {
    models,
    copy: (text) => copyText(text).then(() => toast.show("Copied.")),
    again: (turn, model) => session().answer(turn, model),
    retry: (turn, answer) => session().retry(turn, answer),
    goOn: (turn, answer) => session().goOn(turn, answer),
    choose: (turn, answer) => session().choose(turn, answer),
    resend: async (turn, text) => {
      const undo = await session().resend(turn, text, picker.model);
      log.toEnd();
      composer.focus();
      toast.show("Sent again; what followed was replaced.", { label: "Undo", act: undo });
    },
  });
  const sidebar = new Sidebar(find("sidebar"), {
    open: (id) => library.open(id),
    fresh: () => library.fresh(picker.model),
    rename: (id) => library.rename(id),
    remove: (id) => library.remove(id, picker.model),
    save: (id, kind) => library.save(id, kind),
    saveAll: () => library.saveAll(),
    load: (file) => library.load(file),
    search: (text, signal) => store.search(text, signal),
  });

  library.addEventListener("list", () => {
    sidebar.show(library.records, session().record.id, library.busy);
    composer.busy(session().busy);
    document.title = session().record.title || "swapgate";
  });
  library.addEventListener("open", () => {
    sidebar.toggle(false);
    if (session().turns.length && session().record.model) picker.choose(session().record.model);
    log.show(session());
    // A touch screen's keyboard comes when it is wanted.
    if (!matchMedia("(pointer: coarse)").matches) composer.focus();
  });
  composer.addEventListener("send", async ({ detail: { text, files } }) => {
    if (!picker.model) {
      toast.show("No model is known yet: the gateway has not answered.");
      composer.restore(text, files);
      return;
    }
    log.toEnd();
    try {
      await session().say(text, files, picker.model);
    } catch {
      // Nothing is sent that could not be kept.
      toast.show("This browser has no room for it: delete conversations, or send less.");
      composer.restore(text, files);
    }
  });
  composer.addEventListener("stop", () => session().stop());
  const welcome = () => {
    find("offline").hidden = models.connected !== false;
    const { words } = models.stateOf(picker.model);
    find("welcome-model").textContent = picker.model && `${picker.model}${words && ` · ${words}`}`;
  };
  models.addEventListener("change", welcome);
  picker.addEventListener("change", welcome);
  welcome();

  find("list").append(icon("menu"));
  find("list").addEventListener("click", () => sidebar.toggle(true));
  find("shade").addEventListener("click", () => sidebar.toggle(false));
  find("to-end").append(icon("chevron"));
  find("settings").append(icon("sliders"));
  find("settings").addEventListener("click", async () => {
    const { record } = session();
    const found = await askSettings(record, hasKey() ? forgetKey : null);
    if (!found) return;
    Object.assign(record, found);
    await session().save();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey) {
      event.preventDefault();
      sidebar.find();
    } else if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
      if (document.body.classList.contains("listing")) sidebar.toggle(false);
      else session().stop();
    }
  });
  window.addEventListener("pagehide", () => {
    library.keep();
    composer.keep();
  });

  await library.begin(picker.model);
}

main();
