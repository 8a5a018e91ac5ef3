/* What JupyterHub's admin app expects to find in `window`. */
{
  const page = document.body.dataset;
  const own = document.currentScript.dataset;
  window.jhdata = {
    base_url: page.baseUrl,
    prefix: page.prefix,
    user: page.user,
    xsrf_token: page.xsrf,
    admin_access: own.adminAccess === "true",
    options_form: true,
  };
  window.base_url = page.baseUrl;
  // the app brings Bootstrap's styles along in <style>; ours have to come after them
  window.addEventListener("load", () => {
    document.head.append(...document.head.querySelectorAll('link[href*="/petrihub/static/css/"]'));
  });
  window.api_page_limit = Number.parseInt(own.pageLimit, 10);
}
