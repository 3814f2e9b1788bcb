// Fills the login form from a demo account; the user still submits it.

for (const account of document.querySelectorAll(".demo-account")) {
  account.addEventListener("click", () => {
    document.querySelector("#email").value = account.dataset.email;
    document.querySelector("#password").value = account.dataset.password;
    document.querySelector("form button[type=submit]").focus();
  });
}
