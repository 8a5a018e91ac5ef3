# How fast does an enzyme work?
#
# The data are real and come with R (`?Puromycin`): Treloar (1974) measured the first velocity of a
# reaction at several amounts of substrate, in cells treated with the antibiotic puromycin and in
# cells that were not. Change this file as you like and press "Reload" in the browser.

library(shiny)

colours <- c(treated = "#0f766e", untreated = "#b45309")

fit_one <- function(state) {
  cells <- Puromycin[Puromycin$state == state, ]
  nls(rate ~ Vmax * conc / (Km + conc), data = cells, start = list(Vmax = 180, Km = 0.06))
}
fits <- lapply(setNames(nm = names(colours)), fit_one)

card <- function(...) div(class = "card shadow-sm mb-3", div(class = "card-body", ...))

ui <- fluidPage(
  theme = bslib::bs_theme(version = 5, primary = "#0f766e"),
  title = "Enzyme kinetics",
  div(
    class = "container-lg py-3",
    h1(class = "h3", "How fast does an enzyme work?"),
    p(
      class = "text-body-secondary",
      "Velocity of a reaction against the amount of substrate, in cells treated with puromycin and",
      "in untreated cells. Each dot was measured (Treloar, 1974); each line is a Michaelis-Menten fit."
    ),
    fluidRow(
      column(4, card(
        checkboxGroupInput("states", "Cells", names(colours), selected = names(colours)),
        radioButtons("view", "Drawn as", c(
          "Michaelis-Menten" = "direct", "Lineweaver-Burk (1/v against 1/s)" = "inverse"
        )),
        sliderInput(
          "conc", "Read the curves at this much substrate (ppm)",
          min = 0.02, max = 1.1, value = 0.2, step = 0.02
        ),
        tableOutput("read")
      )),
      column(8, card(plotOutput("curve", height = "380px")))
    ),
    fluidRow(
      column(7, card(
        h2(class = "h5", "What the fit says"),
        tableOutput("constants"),
        p(
          class = "small text-body-secondary mb-0",
          "Vmax: the velocity with substrate in plenty (counts/min/min). Km: the substrate (ppm) at",
          "which half of it is reached. In brackets: 95 % confidence."
        )
      )),
      column(5, card(
        h2(class = "h5", "Does puromycin matter?"),
        textOutput("verdict")
      ))
    )
  )
)

server <- function(input, output, session) {
  shown <- reactive({
    validate(need(input$states, "Choose at least one kind of cells."))
    input$states
  })

  output$curve <- renderPlot(res = 96, {
    inverse <- input$view == "inverse"
    cells <- Puromycin[Puromycin$state %in% shown(), ]
    x <- if (inverse) 1 / cells$conc else cells$conc
    y <- if (inverse) 1 / cells$rate else cells$rate
    par(mar = c(4.2, 4.4, 1, 1), las = 1, bty = "l", family = "sans")
    plot(
      x, y,
      pch = 19, cex = 1.2, col = colours[as.character(cells$state)],
      xlim = c(0, max(x) * 1.03), ylim = c(0, max(y) * 1.08),
      xlab = if (inverse) "1 / substrate (1/ppm)" else "substrate (ppm)",
      ylab = if (inverse) "1 / velocity" else "velocity (counts/min/min)"
    )
    conc <- if (inverse) 1 / seq(0.5, 55, length.out = 200) else seq(0, 1.15, length.out = 200)
    for (state in shown()) {
      rate <- predict(fits[[state]], data.frame(conc = conc))
      lines(
        if (inverse) 1 / conc else conc, if (inverse) 1 / rate else rate,
        col = colours[[state]], lwd = 2.5
      )
    }
    abline(v = if (inverse) 1 / input$conc else input$conc, lty = 3, col = "grey40")
    legend(
      if (inverse) "topleft" else "bottomright", shown(),
      col = colours[shown()], pch = 19, lwd = 2.5, bty = "n"
    )
  })

  output$read <- renderTable(colnames = FALSE, width = "100%", {
    rate <- vapply(fits[shown()], predict, numeric(1), data.frame(conc = input$conc))
    data.frame(shown(), paste(round(rate), "counts/min/min"))
  })

  output$constants <- renderTable(width = "100%", {
    do.call(rbind, lapply(shown(), function(state) {
      found <- summary(fits[[state]])
      half <- qt(0.975, found$df[[2]]) * found$coefficients[, "Std. Error"]
      middle <- found$coefficients[, "Estimate"]
      said <- function(name, digits) {
        number <- function(x) formatC(x, format = "f", digits = digits)
        sprintf(
          "%s (%s to %s)", number(middle[[name]]),
          number(middle[[name]] - half[[name]]), number(middle[[name]] + half[[name]])
        )
      }
      data.frame(Cells = state, Vmax = said("Vmax", 0), Km = said("Km", 3))
    }))
  })

  output$verdict <- renderText({
    # one model in which puromycin changes Vmax only, against one in which it changes Km as well
    cells <- transform(Puromycin, treated = as.numeric(state == "treated"))
    start <- list(Vmax = 160, extra = 40, Km = 0.05)
    vmax_only <- nls(rate ~ (Vmax + extra * treated) * conc / (Km + conc), cells, start = start)
    both <- nls(
      rate ~ (Vmax + extra * treated) * conc / (Km + more * treated + conc), cells,
      start = c(start, more = 0.01)
    )
    p_km <- anova(vmax_only, both)[["Pr(>F)"]][[2]]
    extra <- summary(vmax_only)$coefficients["extra", ]
    paste0(
      "Treated cells reach a higher velocity: Vmax is ", round(extra[["Estimate"]]), " higher ",
      "(p = ", format.pval(extra[["Pr(>|t|)"]], digits = 1), "). Whether Km changes too is not ",
      "settled by these 23 measurements (p = ", format.pval(p_km, digits = 1), ")."
    )
  })
}

shinyApp(ui, server)
