# Table explorer: a CSV or TSV file of the home as table, summary and plot.
library(shiny)
library(ggplot2)

options(shiny.maxRequestSize = 512 * 1024^2)
home <- Sys.getenv("HOME")
example <- "Example: carbon dioxide uptake of plants"
shown_rows <- 200

tables_of_home <- function() {
  found <- list.files(home, "\\.(csv|tsv)$", recursive = TRUE, ignore.case = TRUE)
  found <- found[!grepl("(^|/)\\.", found)]
  head(found[order(nchar(found), found)], 500)
}

read_table <- function(path, name) {
  separator <- if (grepl("\\.tsv$", name, ignore.case = TRUE)) "\t" else ","
  read.csv(path, sep = separator, check.names = FALSE, stringsAsFactors = TRUE)
}

ui <- fluidPage(
  lang = "en",
  title = "Table explorer",
  tags$head(tags$style(
    "body { max-width: 1200px; margin: 0 auto; } .tab-pane { overflow-x: auto; padding-top: 12px; }"
  )),
  h1("Table explorer", style = "font-size: 26px; margin: 16px 0;"),
  sidebarLayout(
    sidebarPanel(
      selectInput("file", "Table in your home", choices = example),
      fileInput("sent", "Or send one (CSV or TSV)", accept = c(".csv", ".tsv")),
      selectInput("kind", "Plot", c("Points", "Box plot", "Histogram")),
      selectInput("x", "Across", NULL),
      conditionalPanel("input.kind != 'Histogram'", selectInput("y", "Up", NULL)),
      selectInput("colour", "Colour by", "nothing"),
      downloadButton("save", "Save the plot (PNG)")
    ),
    mainPanel(
      textOutput("said"),
      tabsetPanel(
        tabPanel("Plot", plotOutput("plot", height = "450px")),
        tabPanel("Table", tableOutput("table")),
        tabPanel("Summary", verbatimTextOutput("summary"))
      )
    )
  )
)

server <- function(input, output, session) {
  sent <- reactiveVal(NULL)
  updateSelectInput(session, "file", choices = c(example, tables_of_home()))
  observeEvent(input$sent, sent(input$sent))
  observeEvent(input$file, sent(NULL), ignoreInit = TRUE)

  data <- reactive({
    chosen <- sent()
    tryCatch(
      if (!is.null(chosen)) {
        read_table(chosen$datapath, chosen$name)
      } else if (identical(input$file, example)) {
        as.data.frame(CO2)
      } else {
        # only what the list offers: a name that somebody makes up is no path
        req(input$file %in% tables_of_home())
        read_table(file.path(home, input$file), input$file)
      },
      error = function(problem) {
        validate(paste("This table cannot be read:", conditionMessage(problem)))
      }
    )
  })

  observe({
    columns <- names(data())
    numbers <- columns[vapply(data(), is.numeric, logical(1))]
    groups <- columns[vapply(data(), function(each) length(unique(each)) <= 20, logical(1))]
    first <- if (length(numbers)) numbers[[1]] else columns[[1]]
    last <- if (length(numbers)) numbers[[length(numbers)]] else columns[[1]]
    updateSelectInput(session, "x", choices = columns, selected = first)
    updateSelectInput(session, "y", choices = if (length(numbers)) numbers else columns, selected = last)
    updateSelectInput(
      session, "colour", choices = c("nothing", groups),
      selected = if (length(groups)) groups[[1]] else "nothing"
    )
  })

  picture <- reactive({
    table <- data()
    req(input$x %in% names(table))
    colour <- if (input$colour %in% names(table)) factor(table[[input$colour]])
    frame <- data.frame(x = table[[input$x]])
    frame$colour <- colour
    look <- if (is.null(colour)) aes(x = x) else aes(x = x, colour = colour, fill = colour)
    plot <- ggplot(frame, look) + labs(x = input$x, colour = input$colour, fill = input$colour)
    if (input$kind == "Histogram") {
      bars <- if (is.numeric(frame$x)) geom_histogram(bins = 30, alpha = 0.6) else geom_bar(alpha = 0.6)
      return(plot + bars + labs(y = "rows") + theme_minimal(base_size = 15))
    }
    req(input$y %in% names(table))
    frame$y <- table[[input$y]]
    plot <- (plot %+% frame) + aes(y = y) + labs(y = input$y)
    layer <- if (input$kind == "Points") {
      geom_point(size = 2.5, alpha = 0.8)
    } else if (is.null(colour)) {
      geom_boxplot(aes(group = 1), alpha = 0.4)
    } else {
      geom_boxplot(aes(x = colour), alpha = 0.4)
    }
    plot <- plot + layer + theme_minimal(base_size = 15)
    if (input$kind == "Box plot" && !is.null(colour)) plot + labs(x = input$colour) else plot
  })

  output$said <- renderText(sprintf(
    "%s rows, %s columns.", format(nrow(data()), big.mark = " "), ncol(data())
  ))
  output$plot <- renderPlot(picture())
  output$table <- renderTable(head(data(), shown_rows))
  output$summary <- renderPrint(summary(data()))
  output$save <- downloadHandler(
    filename = "plot.png",
    content = function(file) ggsave(file, picture(), width = 9, height = 6, dpi = 150, bg = "white")
  )
}

shinyApp(ui, server)
