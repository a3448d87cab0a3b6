// The login form: trades the cluster's token for a cookie that scripts cannot read.

/**
 * Makes the login form work.
 * @param {URL|string} root Where the dashboard is served.
 * @param {() => void} onSignedIn
 * @returns {{show: () => void, hide: () => void}}
 */
export function loginForm(root, onSignedIn) {
  const form = document.getElementById("login");
  const field = document.getElementById("token");
  const failure = document.getElementById("login-error");

  const signIn = async (event) => {
    event.preventDefault();
    failure.textContent = "";
    failure.textContent = await refusal(new URL("dashboard/login", root), field.value.trim());
    if (failure.textContent) return field.select();
    field.value = "";
    onSignedIn();
  };

  form.addEventListener("submit", signIn);
  return {
    show: () => {
      if (!form.hidden) return;
      form.hidden = false;
      if (new URLSearchParams(location.search).get("login") === "wrong") {
        failure.textContent = "the token of that link is wrong";
      }
      field.focus();
    },
    hide: () => {
      form.hidden = true;
    },
  };
}

async function refusal(url, token) {
  try {
    const reply = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
      signal: AbortSignal.timeout(10_000),
    });
    return reply.ok ? "" : String((await reply.json()).error);
  } catch {
    return "signing in failed: the server does not answer";
  }
}
